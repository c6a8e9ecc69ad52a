"""Evidently's own report beside ours, with *our* thresholds, so that both show the same verdict."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.drift.permutation import preserve_rng_state
from monitoring.drift.signal import Comparison
from monitoring.verdict import Drift, Signal


def write_evidently_page(
    comparisons: Sequence[Comparison], drift: Drift, path: Path, *, show_texts: bool
) -> dict[str, float]:
    """Write Evidently's HTML report of the judged signals.

    Where Evidently has the measure, it computes and draws it again; the others, and the texts where they may not be
    quoted, stand there as a metric of our own (`monitoring.report.evidently_metric`) with its test.

    Args:
        comparisons: both sides of every signal.
        drift: the judgement: its thresholds are Evidently's.
        path: the HTML file.
        show_texts: include the text column, whose widget quotes texts.

    Returns:
        Signal → the score on the page.

    Raises:
        Exception: any error of Evidently, which has no base class of errors.
    """
    from evidently import Report

    judged = {signal.name: signal for signal in drift.signals if signal.status in ("ok", "breach")}
    shown = [item for item in comparisons if item.name in judged]
    if not shown:
        raise ValueError("no signal could be judged")
    allowed = {"text", "categorical", "numerical"} if show_texts else {"categorical", "numerical"}
    columns = [item for item in shown if item.signal.evidently_type in allowed]
    drawn = {item.name for item in columns}
    metrics = [_metric(item, judged[item.name], item.name in drawn) for item in shown]
    with preserve_rng_state():
        snapshot = Report(metrics, include_tests=True).run(
            _dataset(columns, "window"), _dataset(columns, "reference")
        )
        plain = path.with_name(f".{path.name}.part")
        try:
            snapshot.save_html(str(plain))
            path.write_text(with_content_security_policy(plain.read_text(encoding="utf-8")), encoding="utf-8")
        finally:
            plain.unlink(missing_ok=True)
    values = [float(metric["value"]) for metric in snapshot.dict()["metrics"]]
    return {item.name: value for item, value in zip(shown, values, strict=True)}


def _metric(item: Comparison, signal: Signal, drawn: bool) -> Any:
    if drawn:
        from evidently.metrics import ValueDrift

        return ValueDrift(column=item.name, method=item.signal.evidently_method, threshold=signal.threshold)
    from monitoring.report.evidently_metric import score_metric

    safe = {"title": harmless(signal.title), "words": harmless(signal.words)}
    return score_metric(signal.model_copy(update=safe))


def _values(item: Comparison, side: str) -> list[Any]:
    """Values of one side; texts and names without what a page could take for markup."""
    values = list(getattr(item, side))
    return values if item.signal.evidently_type == "numerical" else [harmless(str(value)) for value in values]


def _dataset(columns: Sequence[Comparison], side: str) -> Any:
    from evidently import DataDefinition, Dataset

    def named(kind: str) -> list[str]:
        return [item.name for item in columns if item.signal.evidently_type == kind]

    return Dataset.from_pandas(
        # Signals on words have fewer rows than the others; the gap at the end is missing values.
        pd.DataFrame({item.name: pd.Series(_values(item, side)) for item in columns}),
        data_definition=DataDefinition(
            text_columns=named("text"),
            categorical_columns=named("categorical"),
            numerical_columns=named("numerical"),
        ),
    )


_ALIKE = str.maketrans({
    "<": "‹", ">": "›", "&": "＆", '"': "”", "'": "’", "`": "ˋ", "\\": "＼", "$": "＄", "[": "［", "]": "］",
    "{": "｛", "}": "｝", "\u2028": " ", "\u2029": " ", "\0": "\ufffd",
})  # fmt: skip
_SCHEME = ("javascript:", "data:", "vbscript:")
_ANCHOR = "<head>"


def harmless(text: str) -> str:
    """`text` with look-alikes for the characters of HTML, JavaScript and Markdown."""
    changed = text.translate(_ALIKE)
    lowered = changed.lower()
    if any(scheme in lowered for scheme in _SCHEME):  # Plotly and Markdown make links of them
        changed = changed.replace(":", "：")
    return changed


def with_content_security_policy(html: str) -> str:
    """The page with a content security policy; it comes first in the head, so that it holds for all that follows.

    Raises:
        ValueError: the page has no head.
    """
    if _ANCHOR not in html:
        raise ValueError("Evidently's page has no <head>: no content security policy can be put into it")
    parser = _Scripts()
    parser.feed(html)
    parser.close()
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in dict.fromkeys(parser.scripts))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    tag = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return html.replace(_ANCHOR, f"{_ANCHOR}\n{tag}", 1)


class _Scripts(HTMLParser):
    """The contents of the page's script elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.scripts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


def _digest(script: str) -> str:
    # A browser reads line ends as \n before it hashes.
    normal = script.replace("\r\n", "\n").replace("\r", "\n")
    return base64.b64encode(hashlib.sha256(normal.encode()).digest()).decode()
