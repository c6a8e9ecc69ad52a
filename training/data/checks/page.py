"""`data.html`: the findings of the data checks, with plots and examples."""

from __future__ import annotations

import base64
from pathlib import Path

from training.data.checks.findings import Findings
from training.data.plots import write_data_pictures
from training.data.splits import Splits
from training.reporting.style import BLUE, GREY, drawing, write_page

_MOST_LANGUAGES = 12


def write_data_page(folder: Path, findings: Findings, splits: Splits, title: str) -> Path:
    """Write `data.html` and its pictures into `folder`; the page quotes texts. Returns its path."""
    balance, lengths = write_data_pictures(splits.report, folder)
    return write_page(
        "data.html.j2",
        folder / "data.html",
        title=title,
        findings=findings,
        report=splits.report,
        balance=_address(balance),
        lengths=_address(lengths),
        languages=_languages_picture(findings.languages) if findings.languages else "",
    )


def _languages_picture(languages: dict[str, int]) -> str:
    shown = list(languages.items())[:_MOST_LANGUAGES]
    with drawing(0.8 + 0.3 * len(shown)) as picture:
        bars = picture.axes.barh(
            range(len(shown)),
            [count for _, count in shown],
            color=[GREY if code == "unsure" else BLUE for code, _ in shown],
            height=0.6,
        )
        picture.axes.bar_label(bars, padding=3, fontsize=9)
        picture.axes.set_yticks(range(len(shown)), [code for code, _ in shown])
        picture.axes.invert_yaxis()
        picture.axes.margins(x=0.12)
        picture.axes.set_xlabel("texts of the sample")
    return picture.address


def _address(png: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode("ascii")
