"""The command `erase`: store, reports, MLflow and reference profiles."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner

from monitoring.champion import find_champion, without_erased
from monitoring.cli import main
from stores.predictions.erasure import erase_texts
from stores.predictions.texts import sha256_of_text
from stores.settings import SigningSettings
from tests.monitoring.conftest import House, mistyped, normal


@pytest.fixture
def command(house: House, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("VAR_DIR", str(house.var))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", house.tracking.tracking_uri)
    return CliRunner()


def test_erasing_reaches_reports_and_mlflow(house: House, command: CliRunner) -> None:
    texts = mistyped(normal(60)[0], 0.5)  # Evidently quotes texts only where they drifted
    ids = house.answer(texts)
    checked = house.check(monitoring_show_texts=True)
    quiet = house.check(monitoring_show_texts=False)
    pages = [checked.folder / name for name in ("report.html", "evidently.html")]
    assert "<blockquote>" in pages[0].read_text(encoding="utf-8")
    untouched = (quiet.folder / "report.html").read_bytes()

    done = command.invoke(main, ["erase", "--id", ids[0].upper(), "--id", "0" * 32])

    assert done.exit_code == 0, done.output
    assert "erased: 1 predictions" in done.output
    assert "0" * 32 in done.output
    assert house.store.get(ids[0]) is None
    for page in pages:
        assert "was erased or pruned" in page.read_text(encoding="utf-8"), page
    assert (quiet.folder / "report.html").read_bytes() == untouched
    assert json.loads((checked.folder / "verdict.json").read_text(encoding="utf-8"))["window"]
    client = house.registry.client
    experiment = client.get_experiment_by_name("monitoring")
    reports = [
        [item.path for item in client.list_artifacts(run.info.run_id)]
        for run in client.search_runs(
            [experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=2
        )
    ]
    assert sorted(map(sorted, reports)) == [["report.html", "verdict.json"], ["verdict.json"]]
    assert not any(text[:50] in done.output for text in texts)


def test_an_erased_text_of_the_reference_is_left_out(house: House, command: CliRunner) -> None:
    champion = find_champion(house.registry, house.tracking, SigningSettings())
    secret = str(champion.reference["text"][3])
    text = normal(60)[0]
    house.answer([*text, secret])
    done = command.invoke(main, ["erase", "--text", "-"], input=secret + "\n")
    assert done.exit_code == 0, done.output
    assert f"remains: {champion.title} holds an erased text in reference.parquet" in done.output
    left = without_erased(champion, house.store)
    assert secret not in set(left.reference["text"])
    assert len(left.reference) == len(champion.reference) - 1
    assert any("texts of the reference were erased" in note for note in house.verdict().notes)


def test_tables_of_trainings_that_quote_it_go(house: House, command: CliRunner) -> None:
    secret = normal(1)[0][0]
    house.answer([secret])
    folder = house.var / "reports" / "run" / "logreg" / "errors"
    folder.mkdir(parents=True)
    (folder / "errors.html").write_text(secret, encoding="utf-8")
    cell = secret.replace('"', '""')
    (folder / "errors.csv").write_text(f'row,text\n1,"{cell}"\n', encoding="utf-8")
    other = house.var / "reports" / "other" / "errors"
    other.mkdir(parents=True)
    (other / "errors.csv").write_text("row,text\n1,Another text.\n", encoding="utf-8")
    with house.registry.run("training", "run") as run:
        mlflow.log_artifact(str(folder / "errors.csv"), "logreg/errors")
    assert run.info.run_id
    done = command.invoke(main, ["erase", "--text-hash", sha256_of_text(secret)])
    assert done.exit_code == 0, done.output
    assert not any(folder.iterdir())
    assert (other / "errors.csv").is_file()


@pytest.mark.parametrize(
    "arguments", [[], ["--text-hash", "abc"], ["--id", "0" * 32], ["--text-hash", "0" * 64]]
)
def test_nothing_found_or_asked_is_exit_2(command: CliRunner, arguments: list[str]) -> None:
    assert command.invoke(main, ["erase", *arguments]).exit_code == 2


def test_prune_removes_the_quotations_of_old_windows(
    house: House, command: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.answer(normal(60)[0])
    checked = house.check(monitoring_show_texts=True)
    monkeypatch.setenv("RETENTION_TEXT_DAYS", "0.0000001")
    done = command.invoke(main, ["prune"])
    assert done.exit_code == 0, done.output
    assert "redacted: the texts of 60" in done.output
    assert "was erased or pruned" in checked.report.read_text(encoding="utf-8")


def test_the_store_alone_can_be_asked_to_erase(house: House, tmp_path: Path) -> None:
    del tmp_path
    house.answer(["A text.", "A text."])
    assert len(erase_texts(house.store, texts=["A text."]).ids) == 2
