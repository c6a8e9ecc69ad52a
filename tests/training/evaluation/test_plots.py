"""Pictures at two, twelve and 77 classes: names do not overlap, and what is left out is said."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.metrics import Scores, evaluate
from training.evaluation.plots import draw_training, fill_confusion
from training.models.result import History
from training.style import mark, sheet, shortened, weakest


def scores(classes: int) -> Scores:
    """Scores of `classes` classes with long names, ten texts each, some of them wrong."""
    labels = [f"a rather long name of the class number {number}" for number in range(classes)]
    truth = np.repeat(np.arange(classes), 10)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), len(truth)).astype(np.float32)
    probabilities[np.arange(len(truth)), truth] += 0.3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return evaluate(probabilities, [labels[place] for place in truth], labels, seed=1, resamples=50)


def overlapping(axes: Axes, which: str) -> list[tuple[str, str]]:
    """Pairs of neighbouring tick labels whose boxes overlap."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    ticks = axes.get_xticklabels() if which == "x" else axes.get_yticklabels()
    boxes = [(tick.get_text(), tick.get_window_extent()) for tick in ticks if tick.get_text()]
    return [
        (one, other) for (one, first), (other, second) in combinations(boxes, 2) if first.overlaps(second)
    ]


@pytest.mark.parametrize("classes", [2, 12, 77])
@pytest.mark.parametrize("width", [4.6, 9.0])
def test_names_of_a_confusion_matrix_do_not_overlap(classes: int, width: float) -> None:
    height = 1.6 + 0.45 * min(classes, 10) + 0.1 * max(0, classes - 10)
    _, axes = sheet(width, height)
    fill_confusion(axes, scores(classes), most_numbered=12).axes.set_aspect("auto")
    if classes >= 7:
        assert overlapping(axes, "x") == []
    assert overlapping(axes, "y") == []


def test_a_long_name_keeps_its_beginning_and_end() -> None:
    name = "card payment fee charged twice after the refund"
    short = shortened(name, 20)
    assert len(short) == 20
    assert short.startswith("card payment")
    assert short.endswith("refund")
    assert shortened("short") == "short"
    assert shortened("two\nlines") == "two lines"


def test_the_weakest_classes_are_shown_in_their_order() -> None:
    f1 = {"a": 0.9, "b": 0.2, "c": 0.5, "d": 0.4}
    assert weakest(f1, 2) == ["b", "d"]
    assert weakest(f1, 9) == ["a", "b", "c", "d"]


def test_roles_are_written_beside_names() -> None:
    assert mark("minilm", "minilm", {"tfidf"}) == "minilm (winner)"
    assert mark("tfidf", "minilm", {"tfidf"}) == "tfidf (baseline)"
    assert mark("tfidf", "tfidf", {"tfidf"}) == "tfidf (winner, baseline)"
    assert mark("other", "minilm", ()) == "other"


def history(evaluations: int) -> History:
    """A training of one epoch with `evaluations` evaluations."""
    figures = {
        "validation_loss": 0.5,
        "accuracy": 0.8,
        "macro_f1": 0.7,
        "macro_precision": 0.7,
        "macro_recall": 0.7,
    }
    epochs = [{"epoch": (place + 1) / evaluations, **figures} for place in range(evaluations)]
    return History(epochs, [(0.5, 1.2), (1.0, 0.8)], steps=60)


def test_one_epoch_is_drawn_over_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, tuple[str, list[float], list[str]]] = {}

    def keep(figure: Figure, path: Path) -> Path:
        (axes,) = figure.axes
        written = [text.get_text() for text in axes.texts]
        drawn[path.name] = (axes.get_xlabel(), list(axes.lines[0].get_xdata()), written)  # type: ignore[arg-type]
        return path

    monkeypatch.setattr("training.evaluation.plots.saved", keep)
    draw_training(history(1), tmp_path, name="m")
    assert drawn["loss.png"][:2] == ("optimiser step", [30.0, 60.0])
    assert drawn["accuracy.png"] == ("optimiser step", [60.0], ["accuracy 0.800"])
    assert len(drawn["metrics_over_time.png"][2]) == 4
    draw_training(history(4), tmp_path, name="m")
    assert drawn["accuracy.png"] == ("optimiser step", [15.0, 30.0, 45.0, 60.0], [])
