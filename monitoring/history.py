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
from rich.table import Table

from monitoring.champion import watched_name
from monitoring.failures import failures_told
from monitoring.history_picture import draw_history
from monitoring.signals.comparison import TITLES, share_of_threshold
from monitoring.times import since_of
from stores.predictions import PredictionStore
from stores.predictions.checks import INTERRUPTED, Check, CheckLog
from stores.settings import PredictionSettings, TrackingSettings

COLOURS = {"ok": "green", "breach": "bold red", "insufficient_data": "yellow", "not_measured": "yellow"}

WORDS = {"insufficient_data": "too little"}


@click.command()
@click.option(
    "--since",
    default="30d",
    show_default=True,
    metavar="WHEN",
    help="How far back: 30d, or a moment (ISO 8601).",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The last N checks at most.")
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
    with failures_told("the history"):
        name = model or watched_name(TrackingSettings())
        first = since_of(since, now=time.time())
        store = PredictionStore.open(PredictionSettings().url)
        try:
            checks = CheckLog(store).of_windows(first, name, limit=limit)
        finally:
            store.close()
        if picture is not None and checks:
            draw_history(checks, picture)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    elif checks:
        Console().print(as_table(checks))
    else:
        click.echo(f"no check of {name} looked at a window that ends after {since}")
    if picture is not None:
        click.echo(f"picture: {picture}" if checks else "nothing to draw", err=as_json)


def as_table(checks: Sequence[Check]) -> Table:
    """One row a check, the oldest first."""
    table = Table(
        title=f"checks of {checks[0].model_name}",
        box=SIMPLE_HEAD,
        caption="moved: the signal that moved most, in multiples of its threshold, and how many others did",
    )
    table.add_column("until (UTC)", no_wrap=True)
    for heading in ("over", "version", "verdict", "moved", "right (of)", "then"):
        table.add_column(heading, overflow="fold")
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
        name: share_of_threshold(found["value"], found["threshold"], name)
        for name, found in check.signals.items()
        if found["status"] == "breach" and found["value"] is not None and found["threshold"]
    }
    largest = sorted(sizes, key=lambda name: -sizes[name])
    if not largest:
        return "–"
    others = f" +{len(largest) - 1}" if len(largest) > 1 else ""
    return f"{title_of(largest[0]).lower()} {sizes[largest[0]]:.1f}×{others}"


def title_of(signal: str) -> str:
    """A signal's title; one that an older release knew keeps its name."""
    return TITLES[signal][0] if signal in TITLES else signal.replace("_", " ").capitalize()


def _then(check: Check) -> str:
    if check.retrained_at is None:
        return ""
    if check.retrain_status is None:
        return "retraining"
    if check.retrain_status == INTERRUPTED:
        return "retraining interrupted"
    return "retrained" if check.retrain_status == 0 else "retraining failed"


def _length(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds / unit:.3g}{name}"
    return f"{seconds:.0f}s"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
