"""One candidate of a run: trained, judged, and its failure nobody else's."""

from __future__ import annotations

import logging
import shutil
import time

import mlflow
from rich.progress import Progress

from stores.models import ModelRegistry
from training.candidates.kinds import Candidate
from training.candidates.trained import Trained, Workplace
from training.candidates.training import train_candidate
from training.data import Splits
from training.error_analysis.report import write_error_analysis
from training.errors import CheckpointRefused
from training.experiment import Experiment
from training.judging import judge
from training.logs import fields
from training.outcome import Outcome
from training.resuming import RunFolder, keep_trained, trained_before
from training.settings import TrainingSettings
from training.tracking import RECORDS, flat, log_inputs, log_records

log = logging.getLogger(__name__)


def try_candidate(
    name: str,
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    folder: RunFolder,
    progress: Progress,
    outcome: Outcome,
) -> None:
    """Train and judge one candidate in a nested run; a failure is recorded and loses nobody else's results."""
    config = experiment.candidates[name]
    settings = TrainingSettings()
    scratch = folder.candidate(name, config, splits, experiment.seed)
    workplace = Workplace(
        name, scratch / "bundle", scratch, experiment.seed, progress, registry,
        siblings={item.name: item.bundle for item in outcome.judged},
        records=folder.report / RECORDS / name,
        tokens=settings.tokens,
        resume=True,
        signing_key=settings.checkpoint_key,
    )  # fmt: skip
    workplace.bundle.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    log.info("candidate_started", extra=fields(candidate=name, kind=config.kind))
    try:
        with registry.run(experiment.name, name, nested=True) as run:
            outcome.runs[name] = run.info.run_id
            mlflow.set_tags(
                {"kind": "candidate", "candidate": name, "baseline": str(config.baseline).lower()}
            )
            mlflow.set_tags(experiment.smoke_tags())
            if phase := experiment.phase_of(name):
                mlflow.set_tag("phase", phase)
            mlflow.log_params(flat(config.model_dump(exclude={"note"})))
            log_inputs(splits, experiment)
            try:
                try:
                    trained = _trained(config, splits, workplace)
                finally:
                    log_records(workplace)
                pictures = outcome.report / name
                judged = judge(
                    name, trained, splits, workplace.bundle, pictures, experiment.gate, seed=experiment.seed
                )
            except Exception as error:
                mlflow.set_tag("failure", f"{type(error).__name__}: {error}"[:5000])
                raise
            write_error_analysis(
                pictures, judged, splits.test, experiment.analysis, experiment.gate.confidence
            )
            mlflow.log_metrics(judged.metrics())
            mlflow.log_artifacts(str(pictures), "pictures")
    except Exception as error:  # whatever it is: hours of the other candidates' training hang on it
        outcome.failed[name] = f"{type(error).__name__}: {error}"
        log.exception("candidate_failed", extra=fields(candidate=name))
        progress.console.print(f"[red]{name} failed:[/] {error}", highlight=False)
        if not isinstance(error, CheckpointRefused):  # it is for its owner to look at
            shutil.rmtree(workplace.scratch, ignore_errors=True)
    else:
        outcome.judged.append(judged)
        log.info(
            "candidate_judged",
            extra=fields(
                candidate=name,
                validation_macro_f1=round(judged.validation.macro_f1.value, 4),
                test_macro_f1=round(judged.test.macro_f1.value, 4),
                seconds=round(time.monotonic() - started, 1),
            ),
        )


def _trained(config: Candidate, splits: Splits, workplace: Workplace) -> Trained:
    """Train a candidate, unless it was trained before the run was broken off."""
    before = trained_before(workplace)
    if before is None:
        trained = train_candidate(config, splits, workplace)
        keep_trained(workplace, trained)
        return trained
    workplace.progress.console.print(
        f"{workplace.name}: was trained before the run was broken off", highlight=False
    )
    if before.history.log:
        from training.finetuning.following import log_to_mlflow  # torch takes seconds to import

        log_to_mlflow(before.history.log)
    return before
