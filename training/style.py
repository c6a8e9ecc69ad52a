"""Drawing style of all plots, and rendering of HTML pages from templates."""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's palette, darkened where it must be read on white: apart for colour-blind eyes too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b3589a", "#8a6d00", "#3d9bd1", "#555555", "#a0522d")
MARKERS = "osD^vPX*"
MOST_CLASSES = 30
"""Classes that one picture shows; of more, those with the lowest F1."""
LINES = ("-", "--", "-.", ":")

_FALLBACKS = (
    "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Thai", "Noto Sans Devanagari", "Noto Emoji",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS", "Microsoft YaHei", "Malgun Gothic", "Nirmala UI",
    "Leelawadee UI", "Segoe UI Emoji", "PingFang SC", "Hiragino Sans", "Thonburi",
)  # fmt: skip


class LiteralFigure(Figure):
    """A figure that draws every text as it is: labels are data, in which `$` begins no formula.

    matplotlib takes text between two dollar signs for TeX, and fails on what is none. Characters that no installed font
    has are drawn as boxes, without a warning for each.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure; see the class."""
        for axes in self.axes:
            for axis in (axes.xaxis, axes.yaxis):
                axis.get_ticklabels(which="both")  # makes those that come with drawing
        for text in self.findobj(Text):
            text.set_parse_math(False)
            if not text.get_text().isascii():
                text.set_fontfamily([*text.get_fontfamily(), *_fallback_fonts()])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
            layout = self.get_layout_engine()
            if isinstance(layout, ConstrainedLayoutEngine) and self.canvas.is_saving():
                # Saving draws twice: first for the layout alone, with nothing shown, then without this engine.
                layout.execute(self)
            else:
                super().draw(renderer)


@cache
def _fallback_fonts() -> tuple[str, ...]:
    """Installed fonts for scripts that matplotlib's own font lacks."""
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _FALLBACKS if name in installed)


def sheet(width: float, height: float, **options: Any) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    # Not pyplot: it keeps every figure, and chooses a backend for the whole process.
    figure = LiteralFigure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(**options)
    if options.get("projection") is None:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def saved(figure: Figure, path: Path) -> Path:
    """Write the picture; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def shortened(name: str, longest: int = 32) -> str:
    """`name` on one line, its middle replaced by an ellipsis where it has more than `longest` characters."""
    line = " ".join(name.split())
    if len(line) <= longest:
        return line
    tail = longest // 3
    return f"{line[: longest - tail - 1]}…{line[-tail:]}"


def weakest(f1: Mapping[str, float], most: int) -> list[str]:
    """The names of `f1` in their order; only the `most` with the lowest values where there are more."""
    kept = set(sorted(f1, key=f1.__getitem__)[:most])
    return [name for name in f1 if name in kept]


def floor_of(values: Sequence[float]) -> float:
    """Where an axis of shares begins so that differences show: a tenth below the lowest value, at least 0."""
    return max(0.0, math.floor(10 * min(values) - 0.5) / 10)


def mark(name: str, winner: str | None, baselines: Collection[str]) -> str:
    """`name` with its role in the comparison: `minilm (winner)`, `tfidf_logreg (baseline)`."""
    roles = [role for role, held in (("winner", name == winner), ("baseline", name in baselines)) if held]
    return f"{name} ({', '.join(roles)})" if roles else name


def style(index: int) -> dict[str, Any]:
    """Colour, marker and line of the `index`-th of several series."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def whole_epochs(axes: Axes, last: float) -> None:
    """Name the axis of epochs, and mark whole ones, but for a training that has hardly one."""
    axes.set_xlabel("epoch")
    if last >= 2:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


BLUE, ORANGE, GREY, GREEN, RED = "#2563eb", "#d97706", "#94a3b8", "#15803d", "#c2410c"
WIDTH = 4.6
"""Inches: at this width a picture's words can be read on a phone, and two fit side by side on a screen."""

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#94a3b8",
    "xtick.color": "#475569",
    "ytick.color": "#475569",
    "axes.labelcolor": "#475569",
    "svg.hashsalt": "champion",
}


def write_page(template: str, path: Path, **content: Any) -> Path:
    """Render `training/templates/<template>` into `path`; texts and labels in `content` are escaped."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,  # texts and labels are the data's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "percent": lambda share: f"{share:.1%}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template(template).render(**content), encoding="utf-8")
    return path


class Picture:
    """A drawing to be made inside `with drawing(…)`; `address` holds it afterwards, as an SVG data address."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.axes: Axes = figure.add_subplot()
        self.address = ""


@contextmanager
def drawing(height: float, width: float = WIDTH) -> Iterator[Picture]:
    """A picture in the house's style, `height` and `width` in inches."""
    with matplotlib.rc_context(_STYLE):
        picture = Picture(LiteralFigure(figsize=(width, height), layout="constrained"))
        yield picture
        buffer = io.BytesIO()
        picture.figure.savefig(buffer, format="svg", metadata={"Date": None})
        picture.address = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
