"""What a breach is called, and what is to be done about it."""

from __future__ import annotations

import pytest

from monitoring.judgement import headline
from monitoring.report.advice import advice_for
from monitoring.verdict import Accuracy, Drift, Estimate, Signal, Status, Verdict, WatchedModel, WindowFacts


def verdict(*moved: str, accuracy: Status = "insufficient_data", status: Status | None = None) -> Verdict:
    signals = [
        Signal(name=name, title=name, measure="", status="breach", floor=0, reference_texts=9, window_texts=9, words="")
        for name in moved
    ]  # fmt: skip
    found = Accuracy(
        status=accuracy, labelled=0, coverage=0, mean_lag_seconds=None, confidence_level=0.99, accuracy=None,
        macro_f1=None, reference_accuracy=0.9, fall=None, expected_accuracy=0.9, classes=[], words="",
    )  # fmt: skip
    drift: Status = "breach" if moved else "ok"
    return Verdict(
        checked_at="", status=status or ("breach" if "breach" in (drift, accuracy) else "ok"), summary="",
        reasons=[], notes=[], model=WatchedModel(name="news", version="7", alias="champion"),
        window=WindowFacts(since="", until="", predictions=9, other_versions=0, sampled=9, distinct_texts=9,
                           repeated_texts=0, texts_of_reference=0),
        drift=Drift(status=drift, alpha=0.01, signals=signals), accuracy=found,
    )  # fmt: skip


def test_the_headline_says_which_of_the_two_is_in_breach() -> None:
    assert headline(verdict("language")) == "The traffic has changed"
    assert headline(verdict(accuracy="breach")) == "Accuracy is too low"
    assert (
        headline(verdict("language", accuracy="breach")) == "The traffic has changed, and accuracy is too low"
    )
    assert headline(verdict()) == "Within thresholds"
    assert headline(verdict(status="insufficient_data")) == "Too little data to judge"


def test_no_training_is_advised_for_a_slow_service() -> None:
    slow = verdict("service_latency")
    assert headline(slow) == "The service has become slower"
    (step,) = advice_for(slow)
    assert "champion_stage_seconds" in step
    assert "retrain" not in step
    both = verdict("service_latency", "language", accuracy="breach")
    assert headline(both) == "The traffic has changed, accuracy is too low, and the service has become slower"
    assert "another language" in " ".join(advice_for(both))
    assert len(advice_for(both)) == 4


@pytest.mark.parametrize(
    ("moved", "said", "unsaid"),
    [
        (("language", "unseen_words"), "another language", "truncates its texts"),
        (("word_count",), "truncates its texts", "another language"),
        (("capitals",), "lower case", "mix of topics"),
        (("predicted_label", "embedding"), "another mix of topics", "new subjects"),
    ],
)
def test_what_moved_says_what_to_look_for(moved: tuple[str, ...], said: str, unsaid: str) -> None:
    first = advice_for(verdict(*moved))[0]
    assert said in first
    assert unsaid not in first


def test_labels_are_asked_for_only_where_they_are_missing() -> None:
    missing, well, ill = (
        " ".join(advice_for(verdict("language", accuracy=status)))
        for status in ("insufficient_data", "ok", "breach")
    )
    assert "queue export" in missing
    assert "queue export" not in well + ill
    assert "within its thresholds" in well
    assert "training rollback" in ill
    assert "training rollback" not in missing + well
    assert all("--on-breach retrain" in said for said in (missing, well, ill))


def fallen(value: float, low: float, high: float, *moved: str) -> Verdict:
    """A verdict whose labels prove a fall of accuracy that is within its threshold of 5 points."""
    found = verdict(*moved, accuracy="ok")
    accuracy = found.accuracy.model_copy(update={"fall": Estimate(value=value, low=low, high=high)})
    return found.model_copy(update={"accuracy": accuracy, "thresholds": {"max_accuracy_fall": 0.05}})


def test_a_small_fall_is_in_the_headline_and_asks_for_labels() -> None:
    unsure = fallen(0.101, 0.031, 0.17)
    assert headline(unsure) == "Accuracy has fallen, within its thresholds"
    (step,) = advice_for(unsure)
    assert "more than the 5 points" in step
    assert "queue export" in step
    drifted = fallen(0.101, 0.031, 0.17, "language")
    assert headline(drifted) == "The traffic has changed, and accuracy has fallen"
    assert "there is time" not in " ".join(advice_for(drifted))
    small = fallen(0.02, 0.01, 0.03)
    assert advice_for(small) == []
    assert headline(fallen(0.02, -0.01, 0.05)) == "Within thresholds"


def test_without_drift_or_breach_nothing_is_advised() -> None:
    assert "where the texts come from" not in " ".join(advice_for(verdict(accuracy="breach")))
    assert advice_for(verdict()) == []
    assert "--window" in advice_for(verdict(status="insufficient_data"))[0]
