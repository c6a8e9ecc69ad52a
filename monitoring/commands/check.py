"""The commands `check`, `watch` and `schema`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitoring.alerts import alert_all_channels, append_to_alert_log
from monitoring.champion import monitored_name
from monitoring.check import CheckResult, run_check
from monitoring.commands.failures import exit_on_failure, failure_reason, save_traceback
from monitoring.commands.history import COLOURS, WORDS
from monitoring.drift.signal import effect_floors
from monitoring.judgement import chance
from monitoring.progress import Step, progress, silent
from monitoring.publishing import ReportMode, publish_failure
from monitoring.report.advice import advice_for
from monitoring.retraining import Retraining, retrain
from monitoring.settings import MonitoringSettings
from monitoring.times import seconds_of, span
from monitoring.verdict import Verdict
from stores.errors import StoreError
from stores.logging import JsonFormatter
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
    help="report: print only; alert: also append alarms to var/monitoring/alerts.jsonl, and notify ALERT_URLS of "
    "changes; retrain: alert, and train again with the labelled live texts, once enough windows breached, enough "
    "labels came back and the cool-down has passed (RETRAIN_… settings); the output says which of these is missing.",
)

_pages = click.option(
    "--report",
    "pages",
    type=click.Choice(get_args(ReportMode)),
    default="breach",
    show_default=True,
    help="full: report.html with pictures, and Evidently's page; breach: report.html, with pictures where a threshold "
    "is breached; none: verdict.json and metrics only.",
)

_SIGNALLED = 128
"""A shell's exit status of a command that a signal ended is this and the signal's number."""


@click.command()
@_window
@click.option("--since", metavar="TIME", help="First moment of the window: ISO 8601, or seconds since 1970.")
@click.option("--until", metavar="TIME", help="End of the window. Default: now.")
@_on_breach
@_pages
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files. Default: var/monitoring/TIME.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Describe every signal, not only those in breach.")
def check(
    window: str | None,
    since: str | None,
    until: str | None,
    on_breach: str,
    pages: ReportMode,
    output: Path | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Check one window. Exit 0: within thresholds, or too little data; 1: a threshold is breached; 2: could not run.

    With --on-breach alert or retrain, 1 is an alarm: a breach so large, or so lasting, that repeated checks of
    unchanged traffic raise at most one in MONITORING_ALARM_DAYS.
    """
    log_events(logging.ERROR)
    with exit_on_failure("the check"):
        settings = MonitoringSettings()
        effect_floors()  # a wrong setting is reported before anything is read
        first, last = span(window or settings.monitoring_window, since, until, now=time.time())
        with progress("Checking") as step:
            checked = _check(first, last, settings, output, pages, step)
    _tell(on_breach, checked, settings)  # first: writing to standard output may fail
    if as_json:
        click.echo(checked.verdict.model_dump_json(indent=2))
    else:
        _show(checked, verbose=verbose)
    retraining = _retrain(on_breach, checked, settings)
    if retraining is not None and retraining.stopped_by is not None:
        sys.exit(_SIGNALLED + retraining.stopped_by)
    verdict = checked.verdict
    click.get_current_context().exit(verdict.exit_code if on_breach == "report" else int(verdict.alarms))


@click.command()
@click.option(
    "--every", default="15m", show_default=True, metavar="DURATION", help="From one check to the next."
)
@_window
@_on_breach
@_pages
def watch(every: str, window: str | None, on_breach: str, pages: ReportMode) -> None:
    """Check again and again until SIGINT or SIGTERM, which end a training, too; events are JSON on standard error."""
    log_events(logging.INFO)
    with exit_on_failure("the check"):
        settings = MonitoringSettings()
        effect_floors()
        seconds = seconds_of(every)
        width = seconds_of(window or settings.monitoring_window)

    with stopped_by_signals() as stop:

        def once() -> None:
            now = time.time()
            checked = _check(now - width, now, settings, None, pages)
            _tell(on_breach, checked, settings)
            retraining = _retrain(on_breach, checked, settings)
            if retraining is not None and retraining.stopped_by is not None:
                stop.set()

        repeat(once, seconds, stop)


@click.command()
def schema() -> None:
    """Print the JSON schema of verdict.json."""
    click.echo(verdict_schema(), nl=False)


def verdict_schema() -> str:
    """The JSON schema of `verdict.json`, as published in `monitoring/verdict.schema.json`."""
    return json.dumps(Verdict.model_json_schema(mode="serialization"), indent=2, ensure_ascii=False) + "\n"


def _check(
    since: float,
    until: float,
    settings: MonitoringSettings,
    output: Path | None,
    pages: ReportMode,
    step: Step = silent,
) -> CheckResult:
    """Run a check; one that cannot run is noted in the Prometheus textfile, and raises."""
    tracking = TrackingSettings()
    try:
        return run_check(
            since,
            until,
            settings,
            tracking=tracking,
            predictions=PredictionSettings(),
            signing=SigningSettings(),
            output=output,
            pages=pages,
            step=step,
        )
    except (Exception, SystemExit):
        with suppress(OSError):
            publish_failure(settings, monitored_name(tracking), output, at=time.time())
        raise


def _tell(on_breach: str, checked: CheckResult, settings: MonitoringSettings) -> None:
    if on_breach == "report":
        return
    if checked.verdict.alarms:
        append_to_alert_log(checked.verdict, checked.report, settings)
    alert_all_channels(checked.verdict, checked.report, settings)


def _retrain(on_breach: str, checked: CheckResult, settings: MonitoringSettings) -> Retraining | None:
    if on_breach != "retrain" or checked.verdict.status != "breach":
        return None
    try:
        # Standard output may hold the verdict as JSON.
        return retrain(checked, settings, lambda sentence: click.echo(sentence, err=True))
    except StoreError as error:
        click.echo(f"Not retrained: {error}", err=True)
        return None


def _show(checked: CheckResult, *, verbose: bool) -> None:
    """Print the verdict, what to do, why, and the figures; no line is longer than the terminal's width."""
    verdict = checked.verdict
    console = Console(highlight=False)
    console.print(
        f"[{COLOURS[verdict.status]}]{verdict.status.replace('_', ' ')}[/]  {escape(verdict.summary)}"
    )
    if steps := advice_for(verdict):
        console.print("\n[bold]What to do[/]")
        _print_list(console, steps)
    if verdict.reasons:
        console.print("\n[bold]Why[/]")
        _print_list(console, verdict.reasons)
    console.print()
    console.print(_figures(verdict))
    if verbose:
        _print_list(console, [f"{measured.title}: {measured.words}" for measured in verdict.drift.signals])
    if verdict.alarm is not None:
        console.print(f"alarm: {verdict.alarm.words}", markup=False)
    for note in verdict.notes:
        console.print(f"note: {note}", markup=False)
    console.print(f"report: {checked.report}", markup=False, soft_wrap=True)


def _figures(verdict: Verdict) -> Table:
    """One row a signal, within 80 columns."""
    table = Table(
        title=escape(
            f"{verdict.model.name} version {verdict.model.version}, {verdict.window.since[:16]} to "
            f"{verdict.window.until[:16]} UTC"
        ),
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading, justify in (
        ("signal", "left"),
        ("verdict", "left"),
        ("size", "right"),
        ("threshold", "right"),
        ("p", "right"),
    ):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for measured in verdict.drift.signals:
        table.add_row(
            measured.title,
            f"[{COLOURS[measured.status]}]{WORDS.get(measured.status, measured.status).replace('_', ' ')}[/]",
            *("–" if value is None else f"{value:.3f}" for value in (measured.value, measured.threshold)),
            chance(measured.p_adjusted),
        )
    return table


def _print_list(console: Console, items: Sequence[str]) -> None:
    table = Table.grid(padding=(0, 1))
    for item in items:
        table.add_row("-", Text(item))
    console.print(table)


logger = logging.getLogger("monitoring")


def repeat(check: Callable[[], object], every: float, stop: threading.Event) -> int:
    """Call `check` every `every` seconds until `stop` is set; returns how often it was called.

    A check that fails, whatever it raises, is logged and does not end the watch: a registry that is away today answers
    tomorrow. A check that takes longer than `every` delays the next one; checks never overlap.
    """
    calls = 0
    due = time.monotonic()
    while not stop.is_set():
        try:
            check()
        except (Exception, SystemExit) as error:
            reason = f"{failure_reason(error)}{save_traceback(error)}"
            logger.error("check_failed", extra={"fields": {"reason": reason}})
        calls += 1
        due = max(due + every, time.monotonic())
        stop.wait(max(0.0, due - time.monotonic()))
    return calls


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; the check that is running is finished first."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def log_events(level: int) -> None:
    """Send this room's events to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("monitoring")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level)
