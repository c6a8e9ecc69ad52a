"""One scoring job, from its request to its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from service.batch_scoring.checkpoint import PartsFolder, Progress, fingerprint, was_finished
from service.batch_scoring.errors import OutputRefused
from service.batch_scoring.model import ScoringModel
from service.batch_scoring.predict import ScoringEngine, local_engine, new_columns
from service.batch_scoring.tables import ReadOptions, Table
from stores.tabular import Position


@dataclass(frozen=True, slots=True)
class Job:
    """Input, output and options of a scoring job."""

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
"""Called once before the first chunk, and after each."""


def run_job(
    job: Job,
    model: ScoringModel,
    watch: Watcher = lambda _progress, _table: None,
    engine: ScoringEngine = local_engine,
) -> Progress:
    """Score `job.source` into `job.target`; work that an earlier call left unfinished is continued.

    Every engine gives the same output, and resumes the work of another one.

    Returns:
        What was done in all, earlier calls included.

    Raises:
        ScoringError: see its subclasses; what was done so far is kept and continued by the next call.
    """
    check_output(job)
    classifier = model.classifier
    columns = new_columns(classifier.labels, prefix=job.prefix, scores=job.scores, stages=classifier.stages)
    table = Table(job.source, job.target, job.reading, columns)
    with PartsFolder(job.target, _identity(job, model), restart=job.restart) as parts:
        watch(parts.progress, table)
        if not parts.progress.assembled:
            _score(table, model, parts, columns, watch, engine)
        parts.finish(table.assemble, job.target)
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
    engine: ScoringEngine,
) -> None:
    start = Position.from_dict(parts.progress.start) if parts.progress.start else None
    with closing(engine(table.chunks(start), model, columns)) as answers:
        for answered in answers:
            chunk, added = answered.chunk, answered.added
            parts.add(
                lambda path, chunk=chunk, added=added: table.write_part(path, chunk, added),  # type: ignore[misc]
                rows=len(chunk.texts),
                start=chunk.end.as_dict(),
                position=chunk.position,
                problems=answered.problems,
            )
            watch(parts.progress, table)
    parts.account(asdict(table.counts), table.notes())


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
            "quote": job.reading.quote,
            "header": job.reading.header,
            "column_names": ", ".join(job.reading.column_names or ()) or "none",
        },
    }
