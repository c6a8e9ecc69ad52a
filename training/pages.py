"""Pages for people: one HTML file each, with its pictures in it, that asks nothing of any network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY, GREEN, RED = "#2563eb", "#d97706", "#94a3b8", "#15803d", "#c2410c"
WIDTH = 4.6
"""Inches: at this width a picture's words can be read on a phone, and two stand side by side on a desk."""

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
        picture = Picture(Figure(figsize=(width, height), layout="constrained"))
        yield picture
        buffer = io.BytesIO()
        picture.figure.savefig(buffer, format="svg", metadata={"Date": None})
        picture.address = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
