"""Drift signals are added in one place: a registered class is in the verdict, the report and the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitoring.drift.predictions import Confidence
from monitoring.drift.signal import effect_floors, is_of_service, register_signal, signals, title_of
from monitoring.verdict import Signal
from tests.monitoring.conftest import House, normal

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "add_signal.py"


def test_signals_come_in_report_order() -> None:
    assert list(signals()) == [
        "text_content", "new_matter", "unseen_words", "language", "predicted_label", "embedding", "confidence",
        "early_share", "audit_agreement", "text_length", "word_count",
        "sentence_count", "non_letters", "capitals", "service_latency",
    ]  # fmt: skip


def test_every_signal_carries_its_own_facts() -> None:
    for name, signal in signals().items():
        assert signal.name == name
        assert signal.title
        assert signal.unit
        assert signal.measure
        assert signal.__doc__
        assert any(field.startswith("monitoring_min_") for field in signal.settings_class.model_fields)


def test_a_name_is_registered_once() -> None:
    class Other(Confidence):
        pass

    with pytest.raises(ValueError, match="two drift signals are named 'confidence'"):
        register_signal(Other)
    assert register_signal(Confidence) is Confidence


def test_an_unknown_signal_is_titled_by_its_key() -> None:
    assert title_of("number_of_emoji") == "Number of emoji"
    assert not is_of_service("number_of_emoji")


def test_floors_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORING_MIN_TEXT_AUC", "0.8")
    assert effect_floors()["min_text_auc"] == 0.8
    monkeypatch.setenv("MONITORING_MIN_TEXT_AUC", "0.2")
    with pytest.raises(ValueError, match="monitoring_min_text_auc"):
        effect_floors()


@pytest.mark.slow
def test_the_example_adds_a_signal_to_the_verdict(house: House, tmp_path: Path) -> None:
    texts = [f"{text} https://example.org/{place}" for place, text in enumerate(normal(60)[0])]
    house.answer(texts)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "VAR_DIR": str(house.var),
        "MLFLOW_TRACKING_URI": house.tracking.tracking_uri,
        "MONITORING_PERMUTATIONS": "1999",
        "MONITORING_MIN_URL_SHIFT": "0.15",
    }
    done = subprocess.run(
        [sys.executable, "-m", "examples.add_signal"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = Signal.model_validate(json.loads(done.stdout.splitlines()[-1]))
    assert (found.name, found.status, found.floor) == ("urls", "breach", 0.15)
    latest = house.var / "monitoring" / "latest"
    verdict = json.loads((latest / "verdict.json").read_text(encoding="utf-8"))
    assert [signal["name"] for signal in verdict["drift"]["signals"]][-1] == "service_latency"
    assert verdict["thresholds"]["min_url_shift"] == 0.15
    assert "Distribution of urls" in (latest / "report.html").read_text(encoding="utf-8")


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 60
