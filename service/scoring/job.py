"""One scoring job, from its request to its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from service.scoring.answers import new_columns
from service.scoring.champion import ScoringModel
from service.scoring.engines import Engine, in_this_process
from service.scoring.errors import InputRefused, OutputRefused
from service.scoring.formats import open_table
from service.scoring.parts import PartsFolder, Progress, fingerprint, was_finished
from service.scoring.tables import ReadOptions, Table


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be scored, and how the output is to look."""

    source: Path
    target: Path
    reading: ReadOptions = field(default_factory=ReadOptions)
    prefix: str = ""
    """Put before the name of each added column."""
    scores: bool = False
    """Whether each label's probability gets a column."""
    overwrite: bool = False
    """Whether an existing output may be replaced."""
    restart: bool = False
    """Whether unfinished work is thrown away instead of continued."""


Watcher = Callable[[Progress, Table], None]
"""Told once before the first chunk, and after each."""


def run_job(
    job: Job,
    model: ScoringModel,
    watch: Watcher = lambda _progress, _table: None,
    engine: Engine = in_this_process,
) -> Progress:
    """Score `job.source` into `job.target`; work that an earlier call left unfinished is continued.

    Every engine gives the same output, and goes on where another one stopped.

    Returns:
        What was done in all, earlier calls included.

    Raises:
        ScoringError: see its subclasses; what was done so far is kept and continued by the next call.
    """
    check_output(job)
    table = open_table(job.source, job.target, job.reading)
    columns = new_columns(model.classifier.labels, prefix=job.prefix, scores=job.scores)
    if taken := set(table.columns) & set(columns):
        raise InputRefused(
            f"{job.source} has a column {min(taken)!r} of its own: give the new ones a prefix, "
            "such as --prefix predicted_"
        )
    with PartsFolder(job.target, _identity(job, model), restart=job.restart) as parts:
        watch(parts.progress, table)
        if not parts.progress.assembled:
            _score(table, model, parts, columns, watch, engine)
        parts.finish(lambda files, path: table.assemble(files, path, columns), job.target)
        return parts.progress


def check_output(job: Job) -> None:
    """Raise OutputRefused if the output is there and may not be replaced; cheap, so call it before loading a model."""
    if job.source.absolute() == job.target.absolute():
        raise OutputRefused(f"{job.target} is the input: name another output")
    if job.target.is_dir():
        raise OutputRefused(f"{job.target} is a folder: name a file")
    if job.target.exists() and not job.overwrite and not was_finished(job.target):
        raise OutputRefused(f"{job.target} exists: name another output, or replace it with --overwrite")


def _score(
    table: Table,
    model: ScoringModel,
    parts: PartsFolder,
    columns: Mapping[str, type],
    watch: Watcher,
    engine: Engine,
) -> None:
    with closing(engine(table.chunks(parts.progress.start), model, columns)) as answers:
        for answered in answers:
            chunk, added = answered.chunk, answered.added
            parts.add(
                lambda path, chunk=chunk, added=added: table.write_part(path, chunk, added),  # type: ignore[misc]
                rows=len(chunk.texts),
                start=chunk.end,
                position=chunk.position,
                problems=answered.problems,
            )
            watch(parts.progress, table)


def _identity(job: Job, model: ScoringModel) -> dict[str, object]:
    return {
        "input": fingerprint(job.source),
        "model": model.identity,
        "text column": job.reading.text_column,
        "columns": {"prefix": job.prefix or "none", "scores": job.scores},
        "reading": {
            "chunk_rows": job.reading.chunk_rows,
            "encoding": job.reading.encoding,
            "delimiter": job.reading.delimiter or "found",
        },
    }
