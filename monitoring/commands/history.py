"""The command `history`: what the checks found over time, as a table, as JSON, as a picture."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitoring.champion import monitored_name
from monitoring.commands.failures import exit_on_failure
from monitoring.drift.signal import relative_change, title_of
from monitoring.times import since_of
from stores.predictions import PredictionStore
from stores.predictions.checks import INTERRUPTED, Check, CheckLog
from stores.settings import PredictionSettings, TrackingSettings

COLOURS = {"ok": "green", "breach": "bold red", "insufficient_data": "yellow", "not_measured": "yellow"}

WORDS = {"insufficient_data": "too few"}


@click.command()
@click.option(
    "--since",
    default="30d",
    show_default=True,
    metavar="WHEN",
    help="How far back: 30d, or a moment (ISO 8601).",
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), metavar="N", help="The last N checks at most.")
@click.option("--model", metavar="NAME", help="Another model's. Default: MODEL_NAME.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as a JSON list, the oldest first.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="FILE",
    help="Draw them: every signal over time, verdicts, versions, retrainings (.png, .svg or .pdf).",
)
def history(since: str, limit: int | None, model: str | None, as_json: bool, picture: Path | None) -> None:
    """Show what the checks found over time."""
    with exit_on_failure("the history"):
        name = model or monitored_name(TrackingSettings())
        first = since_of(since, now=time.time())
        store = PredictionStore.open(PredictionSettings())
        try:
            checks = CheckLog(store).of_windows(first, name, limit=limit)
        finally:
            store.close()
        if picture is not None and checks:
            from monitoring.report.history_plot import (
                plot_history,  # matplotlib, which tables need not wait for
            )

            plot_history(checks, picture)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    elif checks:
        Console().print(as_table(checks))
    else:
        click.echo(f"no check of {name} looked at a window that ends after {since}")
    if picture is not None:
        click.echo(f"picture: {picture}" if checks else "nothing to draw", err=as_json)


def as_table(checks: Sequence[Check]) -> Table:
    """One row per check, the oldest first."""
    table = Table(
        title=escape(f"checks of {checks[0].model_name}"),
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption="moved: the signal with the largest change in multiples of its threshold, and how many others breached",
    )
    table.add_column("until (UTC)", no_wrap=True)
    for heading in ("over", "version", "verdict", "moved", "accuracy (n)", "retrained"):
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("version", "moved"))
    version = ""
    for check in checks:
        table.add_row(
            _moment(check.until),
            _length(check.until - check.since),
            check.model_version if check.model_version == version else f"[bold]{check.model_version}[/]",
            f"[{COLOURS.get(check.status, 'white')}]{WORDS.get(check.status, check.status)}[/]",
            _moved(check),
            "–" if check.accuracy is None else f"{check.accuracy:.1%} ({check.labelled})",
            _then(check),
        )
        version = check.model_version
    return table


def _moved(check: Check) -> str:
    sizes = {
        name: relative_change(found["value"], found["threshold"], name)
        for name, found in check.signals.items()
        if found["status"] == "breach" and found["value"] is not None and found["threshold"]
    }
    largest = sorted(sizes, key=lambda name: -sizes[name])
    if not largest:
        return "–"
    others = f" +{len(largest) - 1}" if len(largest) > 1 else ""
    size = sizes[largest[0]]
    return f"{title_of(largest[0]).lower()} {f'{size:.1f}' if size < 100 else '>100'}×{others}"


def _then(check: Check) -> str:
    if check.retrained_at is None:
        return ""
    if check.retrain_status is None:
        return "running"
    if check.retrain_status == INTERRUPTED:
        return "stopped"
    return "done" if check.retrain_status == 0 else "failed"


def _length(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds / unit:.3g}{name}"
    return f"{seconds:.0f}s"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
