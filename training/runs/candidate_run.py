"""Train and evaluate one candidate in a nested MLflow run: of a run, of a seed comparison or of a search."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import mlflow
from mlflow.entities import Run as MlflowRun
from rich.progress import Progress

from stores.names import tag_value
from training.data import Splits
from training.errors import NotFinite
from training.evaluation.candidate import evaluate_candidate
from training.kinds.candidate import Candidate, train_candidate
from training.models.result import Trained, TrainingContext
from training.runs.mlflow_logging import flat, log_records
from training.runs.resume import load_trained, save_trained
from training.runs.run_events import Run, RunObserver


@contextmanager
def candidate_run(
    context: TrainingContext, experiment: str, config: Candidate, tags: Mapping[str, str]
) -> Iterator[MlflowRun]:
    """A nested MLflow run for one training, with its parameters and tags; gives the run.

    Where the block fails, the reason becomes the tag `failure`, and what is kept of the training is logged. Checkpoints
    are kept, so that the next run continues there; only those of a training whose numbers are no longer finite are
    removed, because it would fail again.

    Args:
        context: of the training; its `registry` is where the run is logged, under the context's name.
        experiment: name of the MLflow experiment.
        config: of the candidate.
        tags: of the run: its `kind`, and what identifies it.
    """
    assert context.registry is not None
    try:
        with context.registry.run(experiment, context.name, nested=True) as run:
            try:
                mlflow.set_tags(dict(tags))
                mlflow.log_params(flat(config.model_dump(exclude={"note"})))
                yield run
            except Exception as error:
                with suppress(Exception):  # MLflow may be what failed
                    mlflow.set_tag("failure", tag_value(format_failure(error)))
                    log_records(context)
                raise
    except NotFinite:
        shutil.rmtree(context.scratch, ignore_errors=True)
        raise


def train_or_resume(
    config: Candidate, splits: Splits, context: TrainingContext, observers: RunObserver
) -> Trained:
    """Train a candidate, unless the same training (`training_identity`) was done before it was interrupted."""
    before = load_trained(context)
    if before is not None:
        observers.candidate_resumed(context, before)
        return before
    trained = train_candidate(config, splits, context)
    save_trained(context, trained)
    return trained


def run_candidate(name: str, run: Run, progress: Progress) -> None:
    """Train and evaluate one candidate of a run; a failure is noted in its outcome and does not affect the others."""
    experiment, outcome, config = run.experiment, run.outcome, run.experiment.candidates[name]
    context = run.folder.context(name, experiment, run.splits, run.registry, progress)
    bundles = {item.name: item.bundle for item in outcome.evaluated}
    context = replace(context, siblings={**context.siblings, **bundles})
    phase = experiment.phase_of(name)
    tags = {
        "kind": "candidate",
        "candidate": name,
        "baseline": str(config.baseline).lower(),
        **experiment.smoke_tags(),
        **({"phase": phase} if phase else {}),
    }
    started = time.monotonic()
    run.observers.candidate_started(run, name)
    try:
        with candidate_run(context, experiment.name, config, tags) as nested:
            outcome.runs[name] = nested.info.run_id
            run.observers.candidate_opened(run)
            trained = train_or_resume(config, run.splits, context, run.observers)
            evaluated = evaluate_candidate(
                name, trained, run.splits, context.bundle, outcome.report / name, experiment.gate,
                seed=experiment.seed,
            )  # fmt: skip
            run.observers.candidate_evaluated(run, context, evaluated)
    except Exception as error:  # whatever it is: hours of the other candidates' training hang on it
        outcome.failed[name] = format_failure(error)
        run.observers.candidate_failed(run, name, error, run.folder.keep(context.scratch))
    else:
        outcome.evaluated.append(evaluated)
        run.observers.candidate_finished(evaluated, time.monotonic() - started)


def format_failure(error: Exception) -> str:
    """Kind and message of an error."""
    return f"{type(error).__name__}: {error}"
