"""`python -m service.batch INPUT OUTPUT`: score a file with the champion, in constant memory; a killed run resumes.

Examples::

    python -m service.batch reviews.csv scored.csv
    python -m service.batch reviews.parquet scored.parquet --text-column body --scores
    python -m service.batch reviews.jsonl.gz scored.jsonl.gz --model-uri models:/news/7
    python -m service.batch reviews.parquet scored.parquet --engine ray --workers 16
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as Grid

from classifier.precision import Precision
from service.batch_scoring.checkpoint import Progress as Done
from service.batch_scoring.errors import ScoringError
from service.batch_scoring.job import Job, check_output, run_job
from service.batch_scoring.model import ScoringModel, load_model
from service.batch_scoring.predict import ScoringEngine, local_engine
from service.batch_scoring.ray import ray_engine
from service.batch_scoring.tables import ReadOptions, Table
from stores.model_ref import FORMS
from stores.settings import ClusterSettings, SigningSettings, TrackingSettings, private_umask
from stores.tabular import LineCounts
from stores.tabular.options import QUOTES

_INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended


@click.command(
    help="Score the texts of INPUT into OUTPUT with the champion: CSV (.csv), TSV (.tsv, .txt), JSON lines (.jsonl, "
    ".ndjson), JSON (.json), each also .gz, or Parquet (.parquet, .pq). The output has the format of the input."
)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUTPUT", type=click.Path(path_type=Path))
@click.option("--text-column", default="text", show_default=True, help="The column to classify.")
@click.option(
    "--model-uri",
    help=f"The model: {FORMS}. Default: MODEL_URI, else the champion.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Compute in this process, or on workers of Ray; the output is the same.",
)
@click.option(
    "--ray-address",
    help="The cluster of --engine ray, from one of its machines: HOST:6379, or `auto`. "
    "Default: RAY_ADDRESS, else a Ray on this machine for this job.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Of --engine ray: processes of one processor, each with the model in memory. Default: all processors.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="Of a bundle that holds a network in float32 and int8: the file that runs; auto: the faster. Results of int8 "
    "differ a little between processors. Default: what the bundle names, which is float32.",
)
@click.option("--scores", is_flag=True, help="Add a column p_LABEL with the probability of each label.")
@click.option("--prefix", default="", help="Put this before the names of the new columns.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("--restart", is_flag=True, help="Discard unfinished work instead of resuming it.")
@click.option(
    "--chunk-rows",
    default=4096,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rows that are read, scored and made safe at a time.",
)
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    help="Of a text file without a byte order mark; the output is UTF-8.",
)
@click.option(
    "--delimiter", help="Of CSV and TSV: one character, or `tab`. Default: found from the first lines."
)
@click.option(
    "--quote",
    type=click.Choice(QUOTES),
    default="auto",
    show_default=True,
    help="Of CSV and TSV: what a double quote means. double: it encloses a field, and is doubled inside; backslash: "
    'inside it is \\"; none: it is a character; auto: found from the content.',
)
@click.option(
    "--no-header", is_flag=True, help="CSV and TSV: the first row is data. Columns are called 1, 2, …"
)
@click.option(
    "--column-names",
    metavar="A,B,…",
    help="Of CSV and TSV: names in place of the header's, or where there is none.",
)
def main(
    source: Path,
    target: Path,
    text_column: str,
    model_uri: str | None,
    engine: str,
    ray_address: str | None,
    workers: int | None,
    precision: Precision | None,
    scores: bool,
    prefix: str,
    overwrite: bool,
    restart: bool,
    chunk_rows: int,
    encoding: str,
    delimiter: str | None,
    quote: str,
    no_header: bool,
    column_names: str | None,
) -> None:
    """Read the options, run the job, print a summary."""
    private_umask()
    reading = ReadOptions(
        text_column,
        chunk_rows,
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        header=not no_header,
        column_names=tuple(column_names.split(",")) if column_names else None,
    )
    job = Job(source, target, reading, prefix, scores, overwrite, restart)
    console = Console(stderr=True)
    tracking = TrackingSettings(model_uri=model_uri) if model_uri else TrackingSettings()
    watcher = _Watcher(console)
    try:
        check_output(job)
        computing = _engine(engine, ray_address, workers)
        model = load_model(tracking, SigningSettings(), precision)
        if model.warning:
            console.print(f"[yellow]{escape(model.warning)}[/yellow]")
        with watcher.bar:
            done = run_job(job, model, watcher, computing)
    except ScoringError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"{error}. What is done is kept: the same command continues from there"
        ) from None
    except KeyboardInterrupt:
        console.print("Stopped. What is done is kept: the same command continues from there.")
        sys.exit(_INTERRUPTED)
    console.print(_summary(job, model, done, watcher))


def _engine(name: str, ray_address: str | None, workers: int | None) -> ScoringEngine:
    if name == "ray":
        return ray_engine(ray_address or ClusterSettings().ray_address, workers)
    if ray_address or workers:
        raise click.UsageError("--ray-address and --workers belong to --engine ray")
    return local_engine


class _Watcher:
    """Keeps the progress bar up to date."""

    def __init__(self, console: Console) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TextColumn("{task.fields[rate]:,.0f} rows/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._console = console
        self._task: TaskID | None = None
        self.resumed_rows = 0
        self._began = 0.0

    def __call__(self, done: Done, table: Table) -> None:
        if self._task is None:
            self._began = time.monotonic()
            self.resumed_rows = done.rows
            if done.parts:
                self._console.print(f"Resuming after {done.rows:,} rows.")
            # Starts at the rows that are done, so that the remaining time follows from the speed of this run.
            self._task = self.bar.add_task(
                "scoring", total=table.total, completed=done.position, rows=done.rows, rate=0.0
            )
            return
        self.bar.update(self._task, completed=done.position, rows=done.rows, rate=self.rate(done))

    def rate(self, done: Done) -> float:
        """Rows a second in this run."""
        return (done.rows - self.resumed_rows) / max(time.monotonic() - self._began, 1e-9)


def _summary(job: Job, model: ScoringModel, done: Done, watcher: _Watcher) -> Grid:
    failed = sum(done.problems.values())
    counts = LineCounts(**done.lines)
    grid = Grid.grid(padding=(0, 2))
    grid.add_row("output", escape(str(job.target)))
    grid.add_row("model", escape(str(model)))
    grid.add_row("input", escape(str(counts)))
    grid.add_row("rows", f"{done.rows:,}")
    grid.add_row("scored", f"{done.rows - failed:,}")
    refused = f", {counts.refused:,} of them because they cannot be read" if counts.refused else ""
    where = f"; see the column {job.prefix}error" if failed else ""
    grid.add_row("not scored", f"{failed:,}{refused}{where}")
    for problem, count in sorted(done.problems.items(), key=lambda item: -item[1]):
        grid.add_row("", escape(f"{count:,}: {problem}"))
    for note in done.notes:
        grid.add_row("note", escape(note))
    grid.add_row("speed", f"{watcher.rate(done):,.0f} rows/s")
    return grid


if __name__ == "__main__":
    main()
