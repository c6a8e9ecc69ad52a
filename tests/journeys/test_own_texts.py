"""An engineer's week: own texts in a CSV, a champion, a better one that takes over under load, and the way back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from stores.models import ModelRegistry
from stores.predictions import PredictionStore
from stores.settings import PredictionSettings, TrackingSettings
from tests.journeys.conftest import command
from tests.support.bundles import bbc_part
from tests.support.clients import clients, wait_for_version
from tests.support.servers import serving

pytestmark = [pytest.mark.slow, pytest.mark.journey, pytest.mark.timeout(600)]

EXPERIMENT = """
name: tickets
seed: 3
data:
  source: {source}
  text_column: body
  label_column: team
  split: {{ train: 0.5, validation: 0.2, test: 0.3, reserve: 0 }}
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


def test_from_a_csv_to_a_champion_that_is_replaced_and_restored(tmp_path: Path) -> None:
    environment = {"VAR_DIR": str(tmp_path / "var"), "MODEL_NAME": "tickets"}
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
        command(["training", "rollback"], environment)
        wait_for_version(server, "1")
        command(["training", "promote", "2"], environment)
        wait_for_version(server, "2")

    assert set(answers) == {(200, "1"), (200, "2")}, f"a request failed: {answers}"
    store = PredictionStore.open(PredictionSettings(var_dir=tmp_path / "var").url)
    assert (
        store.count(0, 1e12, model_version="1") + store.count(0, 1e12, model_version="2") == answers.total()
    )

    # Thursday: a backlog, scored from a file.
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
