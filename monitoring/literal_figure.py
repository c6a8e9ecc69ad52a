"""A matplotlib figure that takes every text literally."""

from __future__ import annotations

import warnings

from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text


class LiteralFigure(Figure):
    """A figure that draws every text literally: in labels, which are data, `$` does not begin a formula.

    Characters that no installed font has are drawn as boxes, without a warning.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure; see the class."""
        for axes in self.axes:
            for axis in (axes.xaxis, axes.yaxis):
                axis.get_ticklabels(which="both")  # creates the labels that drawing would create
        for text in self.findobj(Text):
            text.set_parse_math(False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
            super().draw(renderer)
