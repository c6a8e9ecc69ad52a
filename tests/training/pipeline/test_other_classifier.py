"""Runs under one registered name: another classifier by mistake, and a retraining from the champion's version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stores.promotion import labels_digest
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import bbc_part
from tests.support.registries import with_tables
from training.commands.cli import main
from training.experiment.loader import load_experiment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEAMS = {"business": "billing", "sports": "delivery", "tech": "support"}
EXPERIMENT = """
name: tickets
seed: 3
data:
  source: tickets.jsonl
  split: { train: 0.6, validation: 0.2, test: 0.2, holdout: 0 }
  checks: { language_texts: 0 }
candidates:
  logreg: { kind: tfidf_logreg, baseline: false, max_features: 300 }
behaviour: { texts: 2 }
analysis: { label_errors: false }
gate: { resamples: 100 }
"""


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path.write_text("\n".join(lines), encoding="utf-8")


GRAVE = ("--once", "data.checks.imbalance.warn=0.1", "--once", "data.checks.imbalance.stop=0.5")
"""Limits that any data exceed."""


def train(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(main, arguments, env={"COLUMNS": "160"}, catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done


def test_only_the_same_classifier_gets_an_alias_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"VAR_DIR": str(with_tables(tmp_path / "var")), "MODEL_NAME": "tickets"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    tickets = [(text, TEAMS[topic]) for text, topic in zip(*bbc_part(0, 4), strict=True) if topic in TEAMS]
    live = [(text, TEAMS[topic]) for text, topic in zip(*bbc_part(1, 12), strict=True) if topic in TEAMS]
    write(tmp_path / "tickets.jsonl", tickets)
    write(tmp_path / "live.jsonl", live)
    write(tmp_path / "spam.jsonl", [(text, "spam" if team == "support" else "ham") for text, team in tickets])
    (tmp_path / "tickets.yaml").write_text(EXPERIMENT, encoding="utf-8")
    registry = ModelRegistry(TrackingSettings())

    # The first version of a name is champion; what --set says is part of the experiment that it carries.
    train("run", "tickets.yaml", "--set", "candidates.logreg.ngram_max=2")
    assert registry.aliases() == {"champion": "1"}
    first = registry.by_version("1").tags
    assert first["data_source"] == str(tmp_path / "tickets.jsonl")
    assert first["labels_digest"] == registry.accepted_labels() == labels_digest(list(TEAMS.values()))

    # Another file with other labels, under the same name: registered, and nothing else.
    other = train("run", "tickets.yaml", "--set", "data.source=spam.jsonl")
    assert "no alias" in other.stdout
    assert "training promote 2 --model tickets --force" in " ".join(other.stdout.split())
    assert registry.aliases() == {"champion": "1"}
    assert messages.LABELS_ADDED in registry.by_version("2").tags["alias_withheld"]
    refused = train("promote", "2", status=2)
    assert "--force" in refused.stderr

    # A retraining from anywhere: the champion's own experiment, with live texts for this run only.
    monkeypatch.chdir("/")
    retrained = ("run", "models:/tickets/1", "--once", f"data.live.source={tmp_path / 'live.jsonl'}")
    dry = train(*retrained, "--dry-run")
    assert messages.DRY_RUN in " ".join(dry.stdout.split())
    grave = train(*retrained, "--dry-run", *GRAVE, status=2)
    assert "data.checks" in grave.stderr
    assert len(registry.versions()) == 2
    train(*retrained)
    third = registry.by_version("3")
    for tag in ("experiment", "candidate", "labels", "data_source", "data_source_fingerprint", "seed"):
        assert third.tags[tag] == first[tag]
    assert int(third.tags["live_texts"]) > 0
    assert "3" in registry.aliases().values(), "champion or challenger, as the gate says"
    again = load_experiment("models:/tickets/3")
    assert again == load_experiment("models:/tickets/1")
    assert again.data.live is None
    assert again.candidates["logreg"].model_dump()["ngram_max"] == 2

    # The source is gone: said in one line, before anything is trained.
    (tmp_path / "tickets.jsonl").unlink()
    gone = train("run", "models:/tickets/3", "--dry-run", status=2)
    assert "tickets.jsonl" in gone.stderr
    # Forced, the other classifier is champion, and its labels are accepted.
    train("promote", "2", "--force")
    assert registry.aliases()["champion"] == "2"
    assert registry.accepted_labels() == labels_digest(["spam", "ham"])
