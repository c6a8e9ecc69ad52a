"""Results of drills: kept as JSON, shown as a table, and written as a page."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from drills.registry import Drill

_JSON, _MARKDOWN = "drills.json", "drills.md"


@dataclass(frozen=True, slots=True)
class Result:
    """One drill's last run."""

    name: str
    promise: str
    figure: str
    held: bool
    faults: tuple[str, ...]
    seconds: float
    """How long it took."""
    scale: float
    at: float
    """When it began; seconds since the epoch."""
    machine: str = ""
    """Processor and cores; filled when it is kept."""

    @property
    def word(self) -> str:
        """`held` or `FAILED`."""
        return "held" if self.held else "FAILED"


def machine() -> str:
    """Processor and number of cores of this machine."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    import psutil

    return f"{name}, {psutil.cpu_count()} cores"


def kept(folder: Path) -> dict[str, Result]:
    """The last result of each drill, by name; empty where none has run."""
    path = folder / _JSON
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["drills"]
    return {row["name"]: Result(**{**row, "faults": tuple(row["faults"])}) for row in rows}


def keep(results: Sequence[Result], folder: Path) -> None:
    """Put results in place of earlier ones of the same drills, as JSON and as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    here = machine()
    found = kept(folder) | {
        result.name: Result(**{**asdict(result), "machine": here, "faults": tuple(result.faults)})
        for result in results
    }
    _write(folder / _JSON, json.dumps({"drills": [asdict(row) for row in found.values()]}, indent=2) + "\n")
    _write(folder / _MARKDOWN, markdown(found.values()))


def table(results: Iterable[Result]) -> Table:
    """Promise, drill, figure and result, for a terminal; with the first faults of those that failed."""
    grid = Table(show_lines=True)
    for heading in ("promise", "drill", "figure", "result"):
        grid.add_column(heading, overflow="fold")
    for row in results:
        colour = "green" if row.held else "bold red"
        figure = "\n".join([row.figure, *(f"! {fault}" for fault in row.faults[:3])])
        grid.add_row(
            escape(row.promise), row.name, escape(figure), f"[{colour}]{row.word}[/]\n{row.seconds:.0f} s"
        )
    return grid


def markdown(results: Iterable[Result]) -> str:
    """The same table in Markdown."""
    lines = ["| promise | drill | figure | result |", "|---|---|---|---|"]
    lines += [
        f"| {_cell(row.promise)} | `{row.name}` | {_cell(row.figure)} | {row.word} |" for row in results
    ]
    return "\n".join(lines) + "\n"


def page(drills: Sequence[Drill], results: dict[str, Result]) -> str:
    """docs/reliability.md: every promise, with the figure of its drill's last run."""
    lines = [
        "# Reliability",
        "",
        "What the project promises under faults, and how each promise is tried: a *drill* starts the real processes on",
        "loopback addresses, makes the fault, and looks whether the promise held. `make drill` runs all of them, in",
        "about 15 minutes on two cores, and exits with 1 if a promise did not hold. Single ones, or all at a smaller",
        "size:",
        "",
        "```bash",
        "python -m drills --list",
        "python -m drills stores kills.service       # by subject or name",
        "python -m drills --scale 0.1                # a tenth of the counts and durations",
        "python -m drills --write-docs               # writes this page from var/drills/drills.json",
        "```",
        "",
        "Results stand in `var/drills` as JSON and Markdown. What a failed drill wrote, logs included, stays in",
        "`var/drills/runs/NAME`.",
        "",
        "| promise | drill | figure of the last run | result |",
        "|---|---|---|---|",
    ]
    for each in drills:
        row = results.get(each.name)
        if row is None:
            lines.append(f"| {_cell(each.promise)} | `{each.name}` | not run yet | |")
            continue
        word = row.word if row.held else f"{row.word}: {row.faults[0][:200]}"
        lines.append(f"| {_cell(each.promise)} | `{each.name}` | {_cell(row.figure)} | {_cell(word)} |")
    lines += ["", *_origin([results[each.name] for each in drills if each.name in results])]
    return "\n".join(lines).rstrip() + "\n"


def _origin(rows: Sequence[Result]) -> list[str]:
    """Which commands on which machines gave the figures."""
    runs = sorted({(row.machine, row.scale, _day(row.at)) for row in rows})
    lines = []
    for where, scale, day in runs:
        names = [row.name for row in rows if (row.machine, row.scale, _day(row.at)) == (where, scale, day)]
        option = "" if scale == 1 else f" --scale {scale:g}"
        lines.append(f"- `python -m drills{option}`, {day}, {where}: {', '.join(names)}")
    return ["Commands and processors:", "", *lines] if lines else []


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _write(path: Path, text: str) -> None:
    parts = path.with_name(path.name + ".part")
    parts.write_text(text, encoding="utf-8")
    parts.replace(path)
