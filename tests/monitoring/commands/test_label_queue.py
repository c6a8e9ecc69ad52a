"""The label queue as a person works through it: export, fill in, import, check."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitoring.cli import main
from stores.predictions.queue import LabelQueue
from tests.monitoring.conftest import House, mistyped, normal
from tests.support.bundles import bbc_articles


@pytest.fixture
def at_home(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The environment of the command points at the house."""
    monkeypatch.setenv("VAR_DIR", str(house.var))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", house.tracking.tracking_uri)
    return house


def queue(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["queue", *arguments])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill_in(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_from_the_export_to_the_corrected_accuracy(at_home: House, tmp_path: Path) -> None:
    texts, labels = normal(300)
    # Some that nothing like was ever seen, one that is sent again and again, one that a spreadsheet would run.
    texts = [*mistyped(texts[:60], 0.6), *texts[60:], *[texts[299]] * 40, "=cmd|'/c calc'!A1"]
    labels = [*labels, *[labels[299]] * 40, "tech"]
    ids = at_home.answer(texts)
    truth = dict(zip(ids, labels, strict=True))
    at_home.store.add_feedback({ids[100]: labels[100]})
    file = tmp_path / "next.csv"
    out = queue("export", str(file), "--size", "120", "--window", "2h", "--seed", "1")
    assert out.exit_code == 0, out.output
    assert "Chosen from 341 predictions of news version 1" in out.output.replace("\n", " ")
    rows = read(file)
    assert len({row["text"] for row in rows}) == len(rows), "each text once"
    assert ids[100] not in {row["prediction_id"] for row in rows}, "nobody is asked twice"
    assert {row["chosen_as"] for row in rows} == {"uncertain", "new", "random"}
    strange = sum(row["prediction_id"] in ids[:60] for row in rows)
    assert strange > 60 * len(rows) / 300, "more of the strange ones than an even sample would hold"
    assert not any(row["text"].startswith("=") for row in rows)

    for row in rows[: len(rows) * 3 // 4]:
        row["label"] = truth[row["prediction_id"]]
    done = queue("import", str(fill_in(tmp_path / "done.csv", rows)))
    assert done.exit_code == 0, done.output
    assert "have none yet" in done.output
    repeated = at_home.store.get(ids[320])
    assert repeated is not None
    verdict = at_home.check().verdict
    found = verdict.accuracy
    assert found.accuracy is not None
    assert found.sampling is not None
    assert found.sampling.covered == 1.0
    # The queue may have chosen the text that was labelled before; then its label counts as any other.
    unasked = ids[100] not in LabelQueue(at_home.store).copies([ids[100]])
    assert found.labelled - found.sampling.labelled == unasked, "a label that nobody asked for is not weighed"
    real = sum(row.label == truth[row.id] for row in at_home.store.window(0, 1e12)) / len(ids)
    assert found.accuracy.low <= real <= found.accuracy.high
    assert found.sampling.as_they_came.value < found.accuracy.value
    assert "corrected for who was labelled" in found.words
    assert "Sampling correction" in at_home.check().report.read_text(encoding="utf-8")


def test_texts_that_repeat_share_their_label(at_home: House, tmp_path: Path) -> None:
    ids = at_home.answer([bbc_articles()[0][7]] * 3 + [bbc_articles()[0][12]])
    file = tmp_path / "next.csv"
    assert "1 more" not in queue("export", str(file), "--window", "2h").output
    rows = read(file)
    assert len(rows) == 2
    for row in rows:
        row["label"] = "business"
    assert "2 texts have their labels (2 more predictions" in queue("import", str(fill_in(file, rows))).output
    assert [at_home.store.get(id_).true_label for id_ in ids] == ["business"] * 4  # type: ignore[union-attr]


def test_the_requested_number_of_texts_is_exported_or_refused(at_home: House, tmp_path: Path) -> None:
    texts = normal(40)[0]
    ids = at_home.answer([*texts, *texts[:5] * 30])
    at_home.store.add_feedback(dict.fromkeys(ids[20:30], "tech"))
    assert queue("export", str(tmp_path / "20.csv"), "--size", "20", "--window", "2h").exit_code == 0
    rows = read(tmp_path / "20.csv")
    assert len({row["text"] for row in rows}) == len(rows) == 20
    assert not {row["prediction_id"] for row in rows} & set(ids[20:30])
    out = queue("export", str(tmp_path / "60.csv"), "--size", "60", "--window", "2h").output
    assert len(read(tmp_path / "60.csv")) == 30
    assert "fewer than 60" in out
    assert "190 predictions are of 40 different texts, 10 of which have a label" in out


def test_what_cannot_be_exported_or_imported_is_said(at_home: House, tmp_path: Path) -> None:
    file = tmp_path / "next.csv"
    assert "answered nothing" in queue("export", str(file)).stderr
    assert not file.exists()
    ids = at_home.answer(normal(3)[0])
    stranger = fill_in(tmp_path / "own.csv", [{"prediction_id": ids[0], "label": "tech"}])
    result = queue("import", str(stranger))
    assert result.exit_code == 2
    assert "no queue chose the prediction of row 2" in result.stderr
    assert queue("export", str(file), "--window", "2h").exit_code == 0
    again = queue("export", str(file), "--window", "2h")
    assert again.exit_code == 2
    assert "exists; labels in it would be lost" in again.stderr
    rows = read(file)
    rows[0]["label"], rows[1]["label"] = "tech", "teck"
    wrong = queue("import", str(fill_in(file, rows)))
    assert "did you mean 'tech'?" in wrong.stderr
    assert at_home.store.outcomes(0, 1e12) == [], "nothing half-written"
