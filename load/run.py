"""`python -m load.run`: a bounded, mixed load on a service that runs, a table, and Locust's report under var/load.

Locust runs in a separate process: it replaces parts of the standard library (gevent), which nothing else here
should have to live with.
"""

from __future__ import annotations

import csv
import ipaddress
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.table import Table

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_STOP_SECONDS = 10
"""How long requests in flight may take to end."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Where Locust writes."""

    folder: Path

    @property
    def html(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"

    @property
    def stats(self) -> Path:
        """Counts and percentiles of each kind of request."""
        return self.folder / "stats.csv"

    @property
    def failures(self) -> Path:
        """What failed, by error code."""
        return self.folder / "failures.csv"


@click.command(help="Load a running service with mixed texts; exit 1 if anything failed.")
@click.option("--host", default="http://127.0.0.1:3000", show_default=True, help="Address of the service.")
@click.option(
    "--users", default=16, show_default=True, type=click.IntRange(1, 10_000), help="Users at a time."
)
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(1, 86_400), help="How long.")
@click.option("--allow-remote", is_flag=True, help="Let HOST be another machine. Load only what is yours.")
@click.option("--seed", default=0, show_default=True, help="Of the texts and their order.")
def main(host: str, users: int, seconds: int, allow_remote: bool, seed: int) -> None:
    """Run Locust and show what came of it."""
    if not allow_remote and not is_loopback(host):
        raise click.ClickException(f"{host} is not this machine: add --allow-remote if it is yours to load")
    reports = Reports(_new_folder())
    console = Console()
    console.print(f"{users} users on {host} for {seconds} s")
    status = run_locust(host, users, seconds, seed, reports)
    if not reports.stats.is_file():
        raise click.ClickException(f"locust ended with status {status} and no figures: see its words above")
    console.print(stats_table(reports.stats))
    failures = _rows(reports.failures)
    for row in failures:
        console.print(f"[red]{row['Occurrences']}×[/red] {row['Name']}: {_reason(row['Error'])}")
    console.print(f"report: {reports.html}")
    asked = sum(int(row["Request Count"]) for row in _rows(reports.stats) if row["Name"] == "Aggregated")
    if not asked:
        raise click.ClickException(f"no request was answered in {seconds} s: does {host} serve?")
    sys.exit(1 if failures or status else 0)


def run_locust(host: str, users: int, seconds: int, seed: int, reports: Reports) -> int:
    """Locust's exit status after a run without its web page; its reports are in their places then."""
    command = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--host", host]
    command += ["--headless", "--users", str(users), "--spawn-rate", str(max(1, users / 2))]
    command += ["--run-time", f"{seconds}s", "--stop-timeout", str(_STOP_SECONDS)]
    command += [
        "--html",
        str(reports.html),
        "--only-summary",
        "--loglevel",
        "WARNING",
        "--skip-log",
        "--exit-code-on-error",
        "0",
    ]
    environment = {**os.environ, "LOAD_SEED": str(seed), "LOAD_REPORTS": str(reports.folder)}
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode


def is_loopback(host: str) -> bool:
    """Whether an address is on this machine: `localhost`, or a loopback IP."""
    name = urlsplit(host).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def stats_table(stats: Path) -> Table:
    """Locust's statistics, a line a kind of request."""
    table = Table(title="answered under load", caption="times in milliseconds")
    columns = ("request", "answered", "failed", "per s", "median", "95 %", "99 %", "max")
    for column in columns:
        table.add_column(column, justify="left" if column == "request" else "right", no_wrap=True)
    for row in _rows(stats):
        whole = row["Name"] == "Aggregated"
        failed = int(row["Failure Count"])
        cells = [f"{int(row['Request Count']) - failed:,}", f"{failed:,}"]
        cells += [f"{float(row['Requests/s']):.1f}"]
        cells += [_milliseconds(row[name]) for name in ("50%", "95%", "99%", "Max Response Time")]
        table.add_row("all" if whole else row["Name"], *cells, style="bold" if whole else None)
    return table


def _reason(error: str) -> str:
    """What was counted as a failure, without the type that Locust wraps it in."""
    return error.removeprefix("CatchResponseError('").removesuffix("')")


def _milliseconds(value: str) -> str:
    return f"{float(value):,.0f}" if value not in ("", "N/A") else "–"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _new_folder() -> Path:
    """`var/load/<time>` (VAR_DIR in place of var): no run writes over another's report."""
    root = Path(os.environ.get("VAR_DIR") or "var").absolute() / "load"
    folder = root / time.strftime("%Y%m%d-%H%M%S")
    suffix = 1
    while folder.exists():
        suffix += 1
        folder = root / f"{time.strftime('%Y%m%d-%H%M%S')}-{suffix}"
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
