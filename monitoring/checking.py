"""The commands `check`, `watch` and `schema`."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from monitoring.alerts import tell_everybody
from monitoring.breach import alert
from monitoring.check import Checked, run_check
from monitoring.failures import FAILURES, failures_told
from monitoring.history import COLOURS
from monitoring.judgement import chance
from monitoring.logs import log_events
from monitoring.retraining import Retraining, retrain
from monitoring.settings import MonitoringSettings
from monitoring.times import seconds_of, span
from monitoring.verdict import Verdict
from monitoring.watch import repeat, stopped_by_signals
from stores.errors import StoreError
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings

Option = Callable[[Callable[..., Any]], Callable[..., Any]]
_window = click.option(
    "--window", metavar="DURATION", help="How far back: 90s, 15m, 24h, 7d. Default: MONITORING_WINDOW."
)
_on_breach = click.option(
    "--on-breach",
    type=click.Choice(["report", "alert", "retrain"]),
    default="report",
    show_default=True,
    help="report: only say so; alert: also add to var/monitoring/alerts.jsonl, and tell ALERT_URLS what is new; "
    "retrain: alert, and train again with the labelled live texts, once enough windows breached, enough labels came "
    "back and the cool-down has passed (RETRAIN_… settings); the output says which of these is missing.",
)

_SIGNALLED = 128
"""A shell's exit status of a command that a signal ended is this and the signal's number."""


@click.command()
@_window
@click.option("--since", metavar="TIME", help="First moment of the window: ISO 8601, or seconds since 1970.")
@click.option("--until", metavar="TIME", help="End of the window. Default: now.")
@_on_breach
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files. Default: var/monitoring/TIME.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def check(
    window: str | None,
    since: str | None,
    until: str | None,
    on_breach: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Check one window. Exit 0: within thresholds, or too little data; 1: a threshold is breached; 2: could not run."""
    log_events(logging.ERROR)
    with failures_told("the check"):
        settings = MonitoringSettings()
        first, last = span(window or settings.monitoring_window, since, until, now=time.time())
        checked = _check(first, last, settings, output)
    _tell(on_breach, checked, settings)  # first: whoever reads our output may have gone
    if as_json:
        click.echo(checked.verdict.model_dump_json(indent=2))
    else:
        _show(checked)
    retraining = _retrain(on_breach, checked, settings)
    if retraining is not None and retraining.stopped_by is not None:
        sys.exit(_SIGNALLED + retraining.stopped_by)
    sys.exit(checked.verdict.exit_code)


@click.command()
@click.option(
    "--every", default="15m", show_default=True, metavar="DURATION", help="From one check to the next."
)
@_window
@_on_breach
def watch(every: str, window: str | None, on_breach: str) -> None:
    """Check again and again until SIGINT or SIGTERM, which end a training, too; events are JSON on standard error."""
    log_events(logging.INFO)
    with failures_told("the check"):
        settings = MonitoringSettings()
        seconds = seconds_of(every)
        width = seconds_of(window or settings.monitoring_window)

    with stopped_by_signals() as stop:

        def once() -> None:
            now = time.time()
            checked = _check(now - width, now, settings, None)
            _tell(on_breach, checked, settings)
            retraining = _retrain(on_breach, checked, settings)
            if retraining is not None and retraining.stopped_by is not None:
                stop.set()

        repeat(once, seconds, stop, FAILURES)


@click.command()
def schema() -> None:
    """Print the JSON schema of verdict.json."""
    click.echo(verdict_schema(), nl=False)


def verdict_schema() -> str:
    """The JSON schema of `verdict.json`, as published in `monitoring/verdict.schema.json`."""
    return json.dumps(Verdict.model_json_schema(mode="serialization"), indent=2, ensure_ascii=False) + "\n"


def _check(since: float, until: float, settings: MonitoringSettings, output: Path | None) -> Checked:
    return run_check(
        since,
        until,
        settings,
        tracking=TrackingSettings(),
        predictions=PredictionSettings(),
        signing=SigningSettings(),
        output=output,
    )


def _tell(on_breach: str, checked: Checked, settings: MonitoringSettings) -> None:
    if on_breach == "report":
        return
    if checked.verdict.status == "breach":
        alert(checked.verdict, checked.report, settings)
    tell_everybody(checked.verdict, checked.report, settings)


def _retrain(on_breach: str, checked: Checked, settings: MonitoringSettings) -> Retraining | None:
    if on_breach != "retrain" or checked.verdict.status != "breach":
        return None
    try:
        # Standard output may hold the verdict as JSON.
        return retrain(checked, settings, lambda sentence: click.echo(sentence, err=True))
    except StoreError as error:
        click.echo(f"Not retrained: {error}", err=True)
        return None


def _show(checked: Checked) -> None:
    verdict = checked.verdict
    console = Console()
    console.print(
        f"[{COLOURS[verdict.status]}]{verdict.status.replace('_', ' ')}[/]  {verdict.summary}",
        highlight=False,
    )
    table = Table(
        title=f"{verdict.model.name} version {verdict.model.version}, {verdict.window.since} to {verdict.window.until}"
    )
    for heading, justify in (
        ("signal", "left"),
        ("verdict", "left"),
        ("size", "right"),
        ("breach from", "right"),
        ("p", "right"),
        ("in words", "left"),
    ):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for signal in verdict.drift.signals:
        table.add_row(
            signal.title,
            f"[{COLOURS[signal.status]}]{signal.status.replace('_', ' ')}[/]",
            *("–" if value is None else f"{value:.3f}" for value in (signal.value, signal.threshold)),
            chance(signal.p_adjusted),
            signal.words,
        )
    console.print(table)
    for note in verdict.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    console.print(f"report: {checked.report}", highlight=False, markup=False, soft_wrap=True)
