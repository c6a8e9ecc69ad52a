"""Accuracy from labels of chosen texts, held against a truth that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from monitoring.accuracy import judge_accuracy
from monitoring.labels.active_learning import (
    SHARES,
    choose,
    inclusion_probabilities,
    novelty,
    systematic_sample,
)
from monitoring.labels.weighting import QueueLabels, answered_batches, weights
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Accuracy
from stores.predictions import LabelledPrediction, Outcome
from stores.predictions.queue import Batch, Chosen, Progress, QueuedOutcome

LABELS = ("a", "b", "c")
REFERENCE = pd.DataFrame({"label": list("abc") * 100, "predicted": list("abc") * 100})
COUNT = 3000


@pytest.fixture(scope="module")
def traffic() -> tuple[list[LabelledPrediction], list[str]]:
    """Predictions of three labels, of unlike numbers, each right as often as its confidence says; and their truth."""
    rng = np.random.default_rng(1)
    rows, truth = [], []
    for number in range(COUNT):
        label = str(rng.choice(LABELS, p=[0.7, 0.2, 0.1]))
        score = float(rng.choice([0.98, 0.9, 0.5], p=[0.55, 0.25, 0.2]))
        rest = [other for other in LABELS if other != label]
        scores = {label: score} | dict.fromkeys(rest, (1 - score) / 2)
        rows.append(
            LabelledPrediction(
                f"text {number} of {'known' if score > 0.6 else 'strange'} words", label, score, scores, 4, False,
                "news", "1", created_at=float(number),
            )
        )  # fmt: skip
        truth.append(label if rng.random() < score else str(rng.choice(rest)))
    return rows, truth


def outcomes_of(
    chosen: Sequence[Chosen], rows: Sequence[LabelledPrediction], truth: Sequence[str], batch: str = "1"
) -> list[QueuedOutcome]:
    place = {row.id: position for position, row in enumerate(rows)}
    return [
        QueuedOutcome(batch, c.probability, rows[i].created_at, rows[i].label, truth[i])
        for c in chosen
        for i in [place[c.prediction_id]]
    ]


def progress(id_: str, since: float, until: float, count: int, labelled: int | None = None) -> Progress:
    labelled = count if labelled is None else labelled
    return Progress(Batch("news", "1", since, until, COUNT, 0.0, id_), count, labelled)


def judged(queue: QueueLabels) -> Accuracy:
    return judge_accuracy(
        [Outcome(o.label, o.true_label, 1, 60.0) for o in queue.outcomes],
        predictions=COUNT, labels=LABELS, reference=REFERENCE, expected=None,
        settings=MonitoringSettings(monitoring_alpha=0.05), rng=np.random.default_rng(1), queue=queue,
    )  # fmt: skip


def test_each_is_drawn_as_often_as_its_probability_says(
    traffic: tuple[list[LabelledPrediction], list[str]],
) -> None:
    rows = traffic[0][:200]
    parts = inclusion_probabilities(rows, np.arange(200.0), 40)
    probability = np.minimum(parts.sum(axis=1), 1)
    assert parts.sum() == pytest.approx(40)
    assert parts.sum(axis=0) / 40 == pytest.approx(list(SHARES.values()))
    assert probability.min() > 0, "what can never be chosen can never be spoken for"
    rng, draws = np.random.default_rng(2), 3000
    drawn = [systematic_sample(probability, [row.label for row in rows], rng) for _ in range(draws)]
    assert {len(positions) for positions in drawn} <= {38, 39, 40}
    share = np.bincount(np.concatenate(drawn), minlength=200) / draws
    assert np.abs(share - probability).max() < 5 * np.sqrt(0.25 / draws)


def test_labels_of_difficult_texts_are_corrected_by_weights(
    traffic: tuple[list[LabelledPrediction], list[str]],
) -> None:
    rows, truth = traffic
    known = [row.text for row in rows if "known" in row.text][:300]
    real = float(np.mean([row.label == true for row, true in zip(rows, truth, strict=True)]))
    naive, corrected, covered = [], [], 0
    new = novelty([row.text for row in rows], known)
    parts = inclusion_probabilities(rows, new, 300)
    probability = np.minimum(parts.sum(axis=1), 1)
    for seed in range(40):
        drawn = systematic_sample(probability, [row.label for row in rows], np.random.default_rng(seed))
        chosen = [Chosen(rows[i].id, float(probability[i]), "") for i in drawn]
        found = judged(
            QueueLabels([progress("1", 0, COUNT, len(chosen))], outcomes_of(chosen, rows, truth), COUNT)
        )
        assert found.accuracy is not None
        assert found.sampling is not None
        naive.append(found.sampling.as_they_came)
        corrected.append(found.accuracy.value)
        covered += found.accuracy.low <= real <= found.accuracy.high
    assert all(estimate.high < real for estimate in naive), "counted as they came, every batch is wrong"
    assert np.mean(corrected) == pytest.approx(real, abs=0.01)
    assert covered >= 36, "95 % intervals that hold less often than 36 times of 40 come once in a hundred"


def test_macro_f1_is_corrected_too(traffic: tuple[list[LabelledPrediction], list[str]]) -> None:
    rows, truth = traffic
    everything = judged(
        QueueLabels(
            [progress("1", 0, COUNT, COUNT)],
            outcomes_of([Chosen(row.id, 1.0, "") for row in rows], rows, truth), COUNT,
        )
    )  # fmt: skip
    chosen = choose(rows, [], 300, np.random.default_rng(3))
    found = judged(
        QueueLabels([progress("1", 0, COUNT, len(chosen))], outcomes_of(chosen, rows, truth), COUNT)
    )
    assert everything.macro_f1 is not None
    assert found.macro_f1 is not None
    assert found.macro_f1.low <= everything.macro_f1.value <= found.macro_f1.high
    assert found.macro_f1.high - found.macro_f1.low < 0.4
    for score, real in zip(found.classes, everything.classes, strict=True):
        assert score.f1 is not None
        assert real.f1 is not None
        assert score.f1.low <= real.f1.value <= score.f1.high
    assert "corrected for who was labelled" in found.words


def test_batches_that_overlap_share_what_both_cover(
    traffic: tuple[list[LabelledPrediction], list[str]],
) -> None:
    rows, truth = traffic
    totals = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first, second = choose(rows[:2000], [], 150, rng), choose(rows[1000:], [], 250, rng)
        labels = QueueLabels(
            [progress("1", 0, 2000, len(first)), progress("2", 1000, 3000, len(second))],
            [*outcomes_of(first, rows, truth, "1"), *outcomes_of(second, rows, truth, "2")],
            COUNT,
        )
        totals.append(weights(labels).sum())
    assert np.mean(totals) == pytest.approx(COUNT, rel=0.05), "each prediction is spoken for once"


def test_a_batch_that_is_hardly_labelled_says_nothing_yet() -> None:
    items = [progress("1", 0, 1, 100, 49), progress("2", 0, 1, 100, 50), progress("3", 0, 1, 0, 0)]
    assert [item.batch.id for item in answered_batches(items)] == ["2"]


def test_the_half_that_is_labelled_stands_for_the_whole_batch(
    traffic: tuple[list[LabelledPrediction], list[str]],
) -> None:
    rows, truth = traffic
    chosen = choose(rows, [], 400, np.random.default_rng(4))
    labels = QueueLabels([progress("1", 0, COUNT, 400, 200)], outcomes_of(chosen[:200], rows, truth), COUNT)
    real = float(np.mean([row.label == true for row, true in zip(rows, truth, strict=True)]))
    found = judged(labels)
    assert found.accuracy is not None
    assert found.accuracy.low <= real <= found.accuracy.high


def test_what_is_new_is_unlike_the_reference() -> None:
    reference = ["shares fell in london", "the striker scored twice"]
    found = novelty(
        ["shares fell in london", "shares rose in paris", "un texte en langue étrangère"], reference
    )
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[0] < found[1] < found[2]
    assert found[2] == pytest.approx(1)
    assert novelty(["a", "…"], reference[:0]).tolist() == [1, 1]


def test_no_more_than_there_are() -> None:
    rows = [
        LabelledPrediction(text, "a", 0.9, {"a": 0.9, "b": 0.1}, 1, False, "m", "1")
        for text in ("x y", "z w")
    ]
    assert {c.probability for c in choose(rows, [], 5, np.random.default_rng(1))} == {1.0}
    assert choose([], ["x"], 5, np.random.default_rng(1)) == []
