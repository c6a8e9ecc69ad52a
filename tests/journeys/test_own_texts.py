"""An engineer's week: own texts in a CSV, a champion, a better one that takes over under load, and the way back.

And another classifier that is trained under the same name by mistake: it replaces nothing until it is forced to.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stores.predictions import PredictionStore
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, TrackingSettings
from tests import golden_messages as messages
from tests.journeys.conftest import command
from tests.support.bundles import bbc_part
from tests.support.clients import clients, wait_for_problem, wait_for_version
from tests.support.servers import serving
from training.commands.cli import main as training

pytestmark = [pytest.mark.slow, pytest.mark.journey, pytest.mark.timeout(600)]

EXPERIMENT = """
name: tickets
seed: 3
data:
  source: {source}
  text_column: body
  label_column: team
  split: {{ train: 0.5, validation: 0.2, test: 0.3, holdout: 0 }}
  checks: {{ language_texts: 20 }}
candidates:
  logreg:
    kind: tfidf_logreg
    baseline: false
    max_features: {features}
behaviour: {{ texts: 5 }}
analysis: {{ label_errors: false }}
gate: {{ resamples: 500 }}
"""


def train(*arguments: str, expected: int = 0) -> Result:
    """`python -m training …` in this process, which spares the imports."""
    done = CliRunner().invoke(training, arguments, env={"COLUMNS": "160"}, catch_exceptions=False)
    assert done.exit_code == expected, done.output
    return done


def test_from_a_csv_to_a_champion_that_is_replaced_and_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"VAR_DIR": str(tmp_path / "var"), "MODEL_NAME": "tickets"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tickets = tmp_path / "tickets.csv"
    texts, labels = bbc_part(0, 2)
    with tickets.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "team"])
        writer.writerows(zip(texts, labels, strict=True))
        writer.writerow(["", "tech"])  # one unusable row is counted, not fatal

    # Monday: a weak first champion, because there is none.
    weak, strong = tmp_path / "weak.yaml", tmp_path / "strong.yaml"
    weak.write_text(EXPERIMENT.format(source=tickets, features=12), encoding="utf-8")
    strong.write_text(EXPERIMENT.format(source=tickets, features=20_000), encoding="utf-8")
    command(["training", "run", str(weak)], environment)
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path / "var", model_name="tickets"))
    assert registry.aliases() == {"champion": "1"}

    with (
        serving(tmp_path / "var", {"MODEL_NAME": "tickets", "POLL_SECONDS": "0.5"}) as server,
        clients(server, pause=0.1) as answers,
    ):
        wait_for_version(server, "1")
        # Tuesday: a better one goes through the gate, and the service swaps by itself.
        command(["training", "run", str(strong)], environment)
        assert registry.aliases() == {"champion": "2", "previous": "1"}
        wait_for_version(server, "2")
        # Wednesday: the night shift wants the old one back.
        train("rollback")
        wait_for_version(server, "1")
        train("promote", "2")
        wait_for_version(server, "2")

        # Thursday: somebody trains other texts under the same name. It is another classifier, so nothing changes.
        spam = tmp_path / "spam.jsonl"
        rows = [
            {"body": text, "team": "spam" if team == "tech" else "ham"}
            for text, team in zip(texts, labels, strict=True)
        ]
        spam.write_text("\n".join(map(json.dumps, rows[::2])), encoding="utf-8")
        other = train("run", str(strong), "--set", f"data.source={spam}")
        assert "no alias" in other.stdout
        assert "training promote 3 --model tickets --force" in " ".join(other.stdout.split())
        assert registry.aliases() == {"champion": "2", "previous": "1"}
        assert messages.LABELS_ADDED in registry.by_version("3").tags["alias_withheld"]
        refused = train("promote", "3", expected=2)
        assert "--force" in refused.stderr
        registry.client.set_registered_model_alias("tickets", "champion", "3")  # by hand, on MLflow's page
        card = wait_for_problem(server, "version 3 has other labels")
        assert (card["version"], card["labels"]) == ("2", sorted(set(labels)))
        registry.client.set_registered_model_alias("tickets", "champion", "2")
        train("promote", "3", "--force")
        wait_for_version(server, "3")
        train("rollback")
        wait_for_version(server, "2")

    assert set(answers) == {(200, "1"), (200, "2"), (200, "3")}, f"a request failed: {answers}"
    store = PredictionStore.open(PredictionSettings(var_dir=tmp_path / "var").url)
    logged = sum(store.count(0, 1e12, model_version=version) for version in "123")
    assert logged == answers.total()

    # Friday: a backlog, scored from a file.
    backlog, scored = tmp_path / "backlog.csv", tmp_path / "scored.csv"
    waiting, truth = bbc_part(1, 20)
    with backlog.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "body"])
        writer.writerows(enumerate(waiting))
    command(["service.batch", str(backlog), str(scored), "--text-column", "body"], environment)
    with scored.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == [str(number) for number in range(len(waiting))]
    assert sum(row["label"] == label for row, label in zip(rows, truth, strict=True)) / len(rows) > 0.9

    # Every version says in the registry why it was or was not promoted.
    for version in registry.versions():
        assert any("gate" in name or "decision" in name for name in version.tags), version.tags
        assert json.dumps(version.tags)
