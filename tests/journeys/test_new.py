"""From a file to a champion in one command: `python -m training new FILE --train`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from classifier import Classifier
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.journeys.conftest import command
from tests.support.bundles import bbc_part

pytestmark = [pytest.mark.slow, pytest.mark.journey, pytest.mark.timeout(600)]


def test_few_tickets_become_a_champion_that_learned_them_all(tmp_path: Path) -> None:
    environment = {"VAR_DIR": str(tmp_path / "var")}
    tickets, chosen = tmp_path / "tickets.csv", tmp_path / "work" / "tickets.yaml"
    texts, labels = bbc_part(0, 20)
    with tickets.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["nr", "team", "body"])
        for number, (text, label) in enumerate(zip(texts, labels, strict=True)):
            writer.writerow([number, label, text[:120]])
    arguments = ["training", "new", str(tickets), "--out", str(chosen)]
    done = command([*arguments, "--train"], environment)
    assert messages.NEW_MODEL_SERVED in done.stdout

    # The evaluated one is registered beside the one that learned all texts, which is served.
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path / "var", model_name="tickets"))
    assert registry.aliases() == {"champion": "2"}
    evaluated, champion = registry.by_version("1"), registry.by_version("2")
    assert (evaluated.tags["fit_all"], champion.tags["fit_all"]) == ("evaluated", "refitted")
    assert (evaluated.tags["refitted_version"], champion.tags["judged_version"]) == ("2", "1")
    assert champion.tags["test_macro_f1"] == evaluated.tags["test_macro_f1"]
    assert int(champion.tags["train_texts"]) == len(texts)
    before, after = (Classifier.load(registry.fetch(version)) for version in (evaluated, champion))
    assert before.description.temperature == after.description.temperature
    assert before.manifest["data"]["train_fingerprint"] != after.manifest["data"]["train_fingerprint"]
    facts = json.loads((after.folder / "report" / "fit_all.json").read_text())
    assert facts["figures_are_of"]["version"] == "1"
    assert facts["figures_are_of"]["train_texts"] < facts["this_model"]["train_texts"] == len(texts)
    reference = "reference.parquet"
    assert (before.folder / reference).read_bytes() == (after.folder / reference).read_bytes()

    # What a person has changed is not replaced.
    chosen.write_text(chosen.read_text() + "# mine\n")
    refused = command(arguments, environment, expected=(2,))
    assert "--force" in refused.stderr
    assert chosen.read_text().endswith("# mine\n")

    # A later run is compared with the evaluated one: the champion has learned the texts of the comparison.
    again = command(["training", "run", str(chosen)], environment)
    assert messages.OLD_VERSION_COMPARED in " ".join(again.stdout.split())
    assert registry.aliases() == {"champion": "2", "challenger": "4"}
