"""One trial: a configuration is trained in an MLflow run of its own, and stopped when it is hopeless."""

from __future__ import annotations

import logging
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
import optuna
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from rich.progress import Progress

from stores.models import ModelRegistry
from training.candidates.config import NetworkConfig
from training.candidates.kinds import Candidate
from training.candidates.trained import History, Watch, Workplace
from training.candidates.training import train_candidate
from training.data import Splits
from training.evaluation import evaluate
from training.experiment import Experiment
from training.logs import fields
from training.search.config import SEARCH_PHASE
from training.search.space import drawn
from training.settings import TrainingSettings
from training.tracking import flat

PARENT = "parent_run"
"""Study attribute: the MLflow run under which trials are shown, whichever process runs them."""
FAILURE = "failure"
"""Trial attribute: why the configuration itself failed; a trial whose process died has none."""
FIGURES = ("macro_precision", "macro_recall", "accuracy")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Objective:
    """What Optuna calls for each trial; gives its macro-F1 on the validation part."""

    experiment: Experiment
    splits: Splits
    registry: ModelRegistry
    scratch: Path
    progress: Progress

    def __call__(self, trial: optuna.Trial) -> float:
        """Train, and report each epoch.

        Raises:
            optuna.TrialPruned: after an epoch in which others were better.
        """
        try:
            return self._run(trial)
        except optuna.TrialPruned as stopped:
            log.info("trial_pruned", extra=fields(trial=trial.number, why=str(stopped)))
            raise
        except Exception as error:
            # With a reason of its own the trial counts as done; whatever it is, it must not be tried for ever.
            trial.set_user_attr(FAILURE, f"{type(error).__name__}: {error}"[:2000])
            log.exception("trial_failed", extra=fields(trial=trial.number))
            raise

    def _run(self, trial: optuna.Trial) -> float:
        search = self.experiment.search
        assert search is not None
        trial.set_user_attr("process", os.getpid())
        settings = drawn(trial, search.space)
        config = search.configured(self.experiment.candidates[search.candidate], settings)
        log.info("trial_started", extra=fields(trial=trial.number, settings=settings))
        with self.registry.run(self.experiment.name, f"trial_{trial.number}", nested=True) as run:
            trial.set_user_attr("run_id", run.info.run_id)
            mlflow.set_tags({"kind": "trial", "phase": SEARCH_PHASE, "study": trial.study.study_name})
            mlflow.set_tags(self.experiment.smoke_tags())
            if parent := trial.study.user_attrs.get(PARENT):
                mlflow.set_tag(MLFLOW_PARENT_RUN_ID, parent)
            mlflow.log_params(flat(config.model_dump(exclude={"note"})))
            try:
                figures = self._trained(trial, config)
            except optuna.TrialPruned as stopped:
                mlflow.set_tag("outcome", f"pruned: {stopped}")
                pruned = stopped
            except Exception as error:
                mlflow.set_tags({"outcome": "failed", "failure": f"{type(error).__name__}: {error}"[:5000]})
                raise
            else:
                mlflow.set_tag("outcome", "complete")
                mlflow.log_metrics({f"validation_{name}": value for name, value in figures.items()})
                for name in FIGURES:
                    trial.set_user_attr(name, figures[name])
                log.info("trial_complete", extra=fields(trial=trial.number, **figures))
                return figures["macro_f1"]
        raise pruned  # outside of the run, which has not failed

    def _trained(self, trial: optuna.Trial, config: Candidate) -> dict[str, float]:
        folder = self.scratch / f"trial_{trial.number}_{os.getpid()}"
        (folder / "bundle").mkdir(parents=True)
        workplace = Workplace(
            f"trial {trial.number}",
            folder / "bundle",
            folder,
            self.experiment.seed,
            self.progress,
            self.registry,
            watch=_watching(trial),
            tokens=TrainingSettings().tokens,
        )
        try:
            return validated(config, self.splits, workplace)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def validated(config: Candidate, splits: Splits, workplace: Workplace) -> dict[str, float]:
    """Train `config`; its figures on the validation part, those of the epoch that is kept."""
    if type(config) is NetworkConfig:
        from training.candidates.networks import fit_network

        return _best(fit_network(config, splits, workplace)[2])  # not exported: nobody serves a trial
    trained = train_candidate(config, splits, workplace)
    if trained.history.epochs:
        return _best(trained.history)
    from classifier import Classifier

    trained.description.write(workplace.bundle)
    classifier = Classifier.load(workplace.bundle, verify=False)
    part = splits.validation
    scores = evaluate(
        classifier.predict(part.texts), part.labels, classifier.labels, seed=workplace.seed, resamples=100
    )
    return {name: scores.headlines[name].value for name in ("macro_f1", *FIGURES)}


def _best(history: History) -> dict[str, float]:
    kept = max(history.epochs, key=lambda epoch: epoch["macro_f1"])
    return {name: kept[name] for name in ("macro_f1", *FIGURES)}


def _watching(trial: optuna.Trial) -> Watch:
    """Reports each epoch to the study, and stops the trial when its pruner says so."""

    def watch(epoch: float, macro_f1: float) -> None:
        trial.report(macro_f1, step=math.ceil(epoch))
        log.debug("trial_epoch", extra=fields(trial=trial.number, epoch=epoch, macro_f1=macro_f1))
        if trial.should_prune():
            raise optuna.TrialPruned(f"after epoch {epoch:g}, at macro-F1 {macro_f1:.3f}")

    return watch
