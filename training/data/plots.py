"""Pictures of a data set, and `data.html`: the findings of the data checks, with pictures and examples."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from training.data.findings import Findings
from training.data.splits import DataReport, Splits
from training.style import BLUE, GREY, drawing, saved, sheet, shortened, write_page

_MOST_CLASSES = 30
_COLOURS = {"train": "#4c6a92", "validation": "#d98c3f", "test": "#5f9e6e", "holdout": "#a0a0a0"}


def write_data_pictures(report: DataReport, folder: Path) -> list[Path]:
    """Write `class_balance.png` and `text_lengths.png` into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_class_balance(report, folder), _text_lengths(report, folder)]


def _class_balance(report: DataReport, folder: Path) -> Path:
    parts = _filled(report)
    totals = {label: sum(report.balance[name].get(label, 0) for name in parts) for label in report.labels}
    labels = sorted(totals, key=lambda label: (-totals[label], label))[:_MOST_CLASSES]
    figure, axes = sheet(8, 1.6 + 0.22 * len(parts) * len(labels))
    thickness = 0.8 / len(parts)
    for position, name in enumerate(parts):
        size = len(report.lengths[name])
        counts = [report.balance[name].get(label, 0) for label in labels]
        bars = axes.barh(
            np.arange(len(labels)) + position * thickness,
            [100 * count / size for count in counts],
            height=thickness,
            color=_COLOURS[name],
            label=f"{name} ({size:,})",
        )
        axes.bar_label(bars, labels=[f"{count:,}" for count in counts], padding=3, fontsize=7)
    axes.set_yticks(np.arange(len(labels)) + 0.4 - thickness / 2, [shortened(label) for label in labels])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("share of the part, % (bars: number of texts)")
    hidden = len(totals) - len(labels)
    axes.set_title("Classes in each part" + (f" (the {hidden} smallest not shown)" if hidden else ""))
    _legend(figure, len(parts))
    return saved(figure, folder / "class_balance.png")


def _text_lengths(report: DataReport, folder: Path) -> Path:
    parts = _filled(report)
    shortest = max(1, min(min(report.lengths[name]) for name in parts))
    longest = max(max(report.lengths[name]) for name in parts)
    # Lengths of text spread over orders of magnitude: bins of equal ratio, not of equal width.
    edges = np.unique(np.round(np.geomspace(shortest, longest + 1, 31))).tolist()
    figure, axes = sheet(8, 4)
    for name in parts:
        words = np.maximum(report.lengths[name], 1)
        axes.hist(
            words,
            bins=edges,
            weights=np.full(len(words), 100 / len(words)),
            histtype="step",
            linewidth=1.6,
            color=_COLOURS[name],
            label=f"{name} (median {np.median(words):,.0f})",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("words in a text")
    axes.set_ylabel("share of the part, %")
    axes.set_title("Text lengths in each part")
    _legend(figure, len(parts))
    return saved(figure, folder / "text_lengths.png")


def _filled(report: DataReport) -> list[str]:
    return [name for name, words in report.lengths.items() if words]


def _legend(figure: Figure, columns: int) -> None:
    figure.legend(
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=1.2,
        columnspacing=1.4,
    )


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
