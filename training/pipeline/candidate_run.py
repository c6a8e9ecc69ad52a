"""Train and evaluate one candidate of a run; its failure does not affect the others."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import mlflow
from rich.progress import Progress
from rich.text import Text

from stores.names import tag_value
from stores.registry import ModelRegistry
from training.data import Splits
from training.errors import NotFinite
from training.evaluation.candidate import CandidateResult, evaluate_candidate
from training.evaluation.error_report import write_error_analysis
from training.experiment.schema import Experiment
from training.finetuning.run_history import write_history
from training.logs import fields
from training.models.registry import Candidate, train_candidate
from training.models.result import Trained, TrainingContext
from training.pipeline.mlflow_logging import flat, log_inputs, log_records
from training.pipeline.outcome import Outcome
from training.pipeline.resume import RunFolder, load_trained, save_trained


def final_figures(evaluated: CandidateResult) -> dict[str, Any]:
    """Figures of the file that is served, calibrated: on the validation and test part, with their intervals."""
    parts = {"validation": evaluated.validation, "test": evaluated.test}
    if evaluated.live is not None:
        parts["live_test"] = evaluated.live
    return {
        **{
            name: {"texts": scores.texts, **{key: asdict(value) for key, value in scores.headlines.items()}}
            for name, scores in parts.items()
        },
        "model_file": evaluated.description.model_file,
        "temperature": evaluated.description.temperature,
        "megabytes": evaluated.megabytes,
        "latency_ms_p50": evaluated.milliseconds,
        "training": evaluated.trained.figures,
    }


log = logging.getLogger(__name__)


def run_candidate(
    name: str,
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    folder: RunFolder,
    progress: Progress,
    outcome: Outcome,
) -> None:
    """Train and evaluate one candidate in a nested run; a failure is noted in `outcome`.

    What is trained is kept whatever fails later, and so are checkpoints: the next run of the same experiment continues
    there. Only a training whose numbers are no longer finite is forgotten, because it would fail again.
    """
    context = folder.context(name, experiment, splits, registry, progress)
    bundles = {item.name: item.bundle for item in outcome.evaluated}
    context = replace(context, siblings={**context.siblings, **bundles})
    started = time.monotonic()
    log.info("candidate_started", extra=fields(candidate=name, kind=experiment.candidates[name].kind))
    try:
        with registry.run(experiment.name, name, nested=True) as run:
            outcome.runs[name] = run.info.run_id
            try:
                evaluated = _train_and_evaluate(context, experiment, splits, outcome)
            except Exception as error:
                with suppress(Exception):  # MLflow may be what failed
                    mlflow.set_tag("failure", tag_value(_format_error(error)))
                raise
    except Exception as error:  # whatever it is: hours of the other candidates' training hang on it
        outcome.failed[name] = _format_error(error)
        if isinstance(error, NotFinite):  # from its checkpoints it would come to the same
            shutil.rmtree(context.scratch, ignore_errors=True)
        kept = folder.keep(context.scratch)
        log.exception("candidate_failed", extra=fields(candidate=name, kept=kept))
        progress.console.print(
            Text.assemble((f"{name} failed:", "red"), f" {error}"), highlight=False, soft_wrap=True
        )
        if kept:
            said = f"What is trained of {name} is kept: the next run of {experiment.name} continues there."
            progress.console.print(said, markup=False, highlight=False, soft_wrap=True)
    else:
        outcome.evaluated.append(evaluated)
        log.info(
            "candidate_judged",
            extra=fields(
                candidate=name,
                validation_macro_f1=round(evaluated.validation.macro_f1.value, 4),
                test_macro_f1=round(evaluated.test.macro_f1.value, 4),
                seconds=round(time.monotonic() - started, 1),
            ),
        )


def _train_and_evaluate(
    context: TrainingContext, experiment: Experiment, splits: Splits, outcome: Outcome
) -> CandidateResult:
    """The candidate, its figures, records and pictures in the active MLflow run."""
    name = context.name
    config = experiment.candidates[name]
    mlflow.set_tags({"kind": "candidate", "candidate": name, "baseline": str(config.baseline).lower()})
    mlflow.set_tags(experiment.smoke_tags())
    if phase := experiment.phase_of(name):
        mlflow.set_tag("phase", phase)
    mlflow.log_params(flat(config.model_dump(exclude={"note"})))
    log_inputs(splits, experiment)
    try:
        trained = train_or_resume(config, splits, context)
    except Exception:
        with suppress(Exception):  # what is kept of a failed training must not hide why it failed
            log_records(context)
        raise
    pictures = outcome.report / name
    evaluated = evaluate_candidate(
        name, trained, splits, context.bundle, pictures, experiment.gate, seed=experiment.seed
    )
    write_history(context, config, trained.history, final_figures(evaluated))
    log_records(context)
    write_error_analysis(pictures, evaluated, splits.test, experiment.analysis, experiment.gate.confidence)
    mlflow.log_metrics(evaluated.metrics())
    mlflow.log_artifacts(str(pictures), "pictures")
    return evaluated


def train_or_resume(config: Candidate, splits: Splits, context: TrainingContext) -> Trained:
    """Train a candidate, unless it was trained before the run was interrupted."""
    before = load_trained(context)
    if before is None:
        trained = train_candidate(config, splits, context)
        save_trained(context, trained)
        return trained
    context.progress.console.print(
        f"{context.name}: was trained by an earlier run, and is not trained again", highlight=False
    )
    log.info("candidate_resumed", extra=fields(candidate=context.name))
    if before.history.log:
        from training.finetuning.callbacks import log_to_mlflow  # torch takes seconds to import

        log_to_mlflow(before.history.log)
    return before


def _format_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
