"""Results of the data checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from training.config.data import Limits
from training.errors import DataRefused

Severity = Literal["note", "warning", "error"]
_COLOURS = {"note": "dim", "warning": "yellow", "error": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """For metrics: `duplicates`, `truncated_minilm`, …"""
    title: str
    value: float
    words: str
    """A sentence with the figures in it."""
    severity: Severity = "note"
    examples: tuple[str, ...] = ()
    """A few texts, each with what is wrong with it; they quote the data."""


@dataclass(frozen=True)
class Findings:
    """All that was found. Print it with rich."""

    findings: tuple[Finding, ...] = ()
    languages: dict[str, int] = field(default_factory=dict)
    """Language → texts of the sample; `unsure` where none is clear."""

    def metrics(self) -> dict[str, float]:
        """Figures by the names MLflow keeps them under: `data_duplicates`, …"""
        return {f"data_{finding.name}": finding.value for finding in self.findings}

    def as_dict(self) -> dict[str, Any]:
        """Everything but the examples, which quote texts, as JSON can write it."""
        rows = [{k: v for k, v in asdict(finding).items() if k != "examples"} for finding in self.findings]
        return {"findings": rows, "languages": self.languages}

    def worst(self) -> Severity:
        """The gravest severity."""
        found = {finding.severity for finding in self.findings}
        return "error" if "error" in found else "warning" if "warning" in found else "note"

    def stop_if_grave(self) -> None:
        """Raise DataRefused where a finding is an error."""
        if grave := [finding.words for finding in self.findings if finding.severity == "error"]:
            raise DataRefused(
                f"the data did not pass its checks: {' '.join(grave)} Mend the data, or raise the limit in data.checks."
            )

    def __rich__(self) -> Table:
        table = Table(
            title="Checks of the data", title_justify="left", box=SIMPLE_HEAD, collapse_padding=True
        )
        table.add_column("")
        table.add_column("result", overflow="fold")
        for finding in self.findings:
            table.add_row(f"[{_COLOURS[finding.severity]}]{finding.severity}[/]", escape(finding.words))
        return table


def severity_of(value: float, limits: Limits) -> Severity:
    """Severity of `value` under `limits`."""
    if limits.stop is not None and value > limits.stop:
        return "error"
    return "warning" if limits.warn is not None and value > limits.warn else "note"


def quoted(text: str, length: int = 160) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
