"""Labels in pictures are text: no formula, no markup, no missing glyph and no length makes a picture fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from monitoring.literal_figure import LiteralFigure as MonitoringFigure
from training.evaluation import plots
from training.evaluation.metrics import Scores, evaluate
from training.gate import page as pictures
from training.style import LiteralFigure

LABELS = ["$\\frac{$", "$5 or $6", "C++ & [b]", "<b>", "ไทย", "日本", "😀", "x" * 256, "a\nb", "%s {}"]


@pytest.fixture(scope="module")
def scores() -> Scores:
    drawn = np.random.default_rng(0)
    probabilities = drawn.dirichlet(np.ones(len(LABELS)), 60).astype(np.float32)
    truth = [LABELS[place] for place in drawn.integers(0, len(LABELS), 60)]
    return evaluate(probabilities, truth, LABELS, seed=0, resamples=20)


def test_every_label_can_be_drawn(scores: Scores, tmp_path: Path) -> None:
    for draw, name in ((plots.confusion_matrix, "confusion.png"), (plots.class_f1, "f1.png")):
        written = draw(scores, tmp_path / name, title="$\\alpha$ of [red] $5")
        assert written.read_bytes().startswith(b"\x89PNG")
    assert pictures.classes_picture(scores, scores).startswith("data:image/svg+xml")
    assert pictures.confusion_picture(scores).startswith("data:image/svg+xml")


@pytest.mark.parametrize("kind", [LiteralFigure, MonitoringFigure])
def test_a_label_with_dollars_is_drawn_as_it_is(kind: type[LiteralFigure]) -> None:
    def drawn(label: str, figure_class: type[LiteralFigure]) -> bytes:
        figure = figure_class(figsize=(3, 1))
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.barh([0], [1])
        axes.set_yticks([0], [label])
        axes.set_title(label)
        canvas.draw()
        return bytes(canvas.buffer_rgba())

    assert drawn("$x$", kind) != drawn("x", kind)
    assert drawn("$\\frac{$", kind)


def test_legends_and_annotations_are_literal_too() -> None:
    figure = LiteralFigure(figsize=(3, 2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], label="$\\frac{$")
    axes.annotate("$\\frac{$", (0, 0))
    figure.legend(loc="outside lower center")
    canvas.draw()
    drawn = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    assert len(drawn) >= 2
    assert not any(text.get_parse_math() for text in drawn)
