"""Run the trials of a search, next to other processes of the same study."""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import optuna
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.trial import FrozenTrial, TrialState
from rich.progress import Progress

from stores.registry import ModelRegistry
from training.config.network import NetworkConfig
from training.config.search import SEARCH_PHASE, SearchConfig
from training.data import Splits
from training.errors import SearchFailed
from training.evaluation.metrics import evaluate
from training.experiment.schema import Experiment
from training.kinds.candidate import Candidate, train_candidate
from training.logs import fields
from training.models.result import EpochCallback, History, TrainingContext
from training.runs.candidate_run import candidate_run
from training.runs.resume import training_context
from training.search.study import fail_dead_trials, open_study, retry, settings_of, suggest_settings
from training.settings import TrainingSettings

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
            # With a reason the trial counts as done, so that it is not retried for ever.
            trial.set_user_attr(FAILURE, f"{type(error).__name__}: {error}"[:2000])
            log.exception("trial_failed", extra=fields(trial=trial.number))
            raise

    def _run(self, trial: optuna.Trial) -> float:
        search = self.experiment.search
        assert search is not None
        trial.set_user_attr("process", os.getpid())
        settings = suggest_settings(trial, search.space)
        config = search.configured(self.experiment.candidates[search.candidate], settings)
        log.info("trial_started", extra=fields(trial=trial.number, settings=settings))
        context = training_context(
            f"trial_{trial.number}", config, self.splits, self.experiment.seed, self.scratch, self.registry,
            self.progress, watch=_watching(trial),
        )  # fmt: skip
        context = replace(context, resume=False)  # a trial that did not end is tried again from its start
        parent = trial.study.user_attrs.get(PARENT)
        tags = {
            "kind": "trial",
            "phase": SEARCH_PHASE,
            "study": trial.study.study_name,
            **self.experiment.smoke_tags(),
            **({MLFLOW_PARENT_RUN_ID: parent} if parent else {}),
        }
        with candidate_run(context, self.experiment.name, config, tags) as run:
            trial.set_user_attr("run_id", run.info.run_id)
            try:
                figures = validated(config, self.splits, context)
            except optuna.TrialPruned as stopped:
                mlflow.set_tag("outcome", f"pruned: {stopped}")
                pruned = stopped
            except Exception:
                mlflow.set_tag("outcome", "failed")
                raise
            else:
                mlflow.set_tag("outcome", "complete")
                mlflow.log_metrics({f"validation_{name}": value for name, value in figures.items()})
                for name in FIGURES:
                    trial.set_user_attr(name, figures[name])
                log.info("trial_complete", extra=fields(trial=trial.number, **figures))
                return figures["macro_f1"]
            finally:
                shutil.rmtree(context.scratch, ignore_errors=True)
        raise pruned  # outside of the run, which has not failed


def validated(config: Candidate, splits: Splits, context: TrainingContext) -> dict[str, float]:
    """Train `config`; its figures on the validation part, those of the epoch that is kept."""
    if type(config) is NetworkConfig:
        from training.candidates.transformer import fit_network

        return _best(fit_network(config, splits, context)[2])  # not exported: a trial is not served
    trained = train_candidate(config, splits, context)
    if trained.history.epochs:
        return _best(trained.history)
    from classifier import Classifier

    trained.description.write(context.bundle)
    classifier = Classifier.load(context.bundle, verify=False)
    part = splits.validation
    scores = evaluate(
        classifier.predict(part.texts), part.labels, classifier.labels, seed=context.seed, resamples=100
    )
    return {name: scores.headlines[name].value for name in ("macro_f1", *FIGURES)}


def _best(history: History) -> dict[str, float]:
    kept = max(history.epochs, key=lambda epoch: epoch["macro_f1"])
    return {name: kept[name] for name in ("macro_f1", *FIGURES)}


def _watching(trial: optuna.Trial) -> EpochCallback:
    """Reports each epoch to the study, and stops the trial when its pruner says so."""

    def watch(epoch: float, macro_f1: float) -> None:
        trial.report(macro_f1, step=math.ceil(epoch))
        log.debug("trial_epoch", extra=fields(trial=trial.number, epoch=epoch, macro_f1=macro_f1))
        if trial.should_prune():
            raise optuna.TrialPruned(f"after epoch {epoch:g}, at macro-F1 {macro_f1:.3f}")

    return watch


_LOOK_AGAIN_SECONDS = 0.5


def search(
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    scratch: Path,
    progress: Progress,
    *,
    parent_run: str | None = None,
) -> optuna.Study:
    """Take trials until the experiment's number of them is done, or its time is over; returns the study.

    Others may search at the same time, in this machine or another: trials are shared through the database. Where only
    trials of others are still running, it waits for them.

    Args:
        experiment: with a `search`.
        splits: its texts; trials look at train and validation.
        registry: where each trial has its MLflow run.
        scratch: folder for what trials write while they train.
        progress: where they show how far they are.
        parent_run: the MLflow run that trials are shown under from now on; None: as it was.

    Raises:
        SearchUnavailable: the database does not answer.
    """
    config = experiment.search
    assert config is not None
    study = open_study(experiment, splits, registry, TrainingSettings())
    if parent_run:
        study.set_user_attr(PARENT, parent_run)
    task = progress.add_task(f"search of {config.candidate}", total=config.trials)
    objective = Objective(experiment, splits, registry, scratch, progress)
    deadline = time.monotonic() + config.timeout if config.timeout else float("inf")
    log.info("search_joined", extra=fields(study=study.study_name, done=done(study), trials=config.trials))
    while True:
        fail_dead_trials(study)
        progress.update(task, completed=min(done(study), config.trials))
        if done(study) >= config.trials or time.monotonic() >= deadline:
            break
        if _left(study, config) <= 0:
            time.sleep(_LOOK_AGAIN_SECONDS)  # others are at the last ones; one of them may die
            continue
        _one_trial(study, objective)
    log.info("search_left", extra=fields(study=study.study_name, done=done(study)))
    return study


def done(study: optuna.Study) -> int:
    """Trials that came to an end by themselves: complete, pruned, or failed for what they are."""
    return sum(
        trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or FAILURE in trial.user_attrs
        for trial in study.get_trials(deepcopy=False)
    )


def best_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The `count` complete trials of highest macro-F1, best first; no configuration twice."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    different = {str(sorted(trial.params.items())): trial for trial in reversed(ranked)}
    return [trial for trial in ranked if trial in different.values()][:count]


def best_candidates(experiment: Experiment, study: optuna.Study) -> dict[str, Candidate]:
    """The configurations that the search found, as candidates to be trained in full.

    Raises:
        SearchFailed: no trial is complete; says why the last one failed.
    """
    config = experiment.search
    assert config is not None
    best = best_trials(study, config.keep)
    if not best:
        reasons = [
            trial.user_attrs[FAILURE]
            for trial in study.get_trials(deepcopy=False)
            if FAILURE in trial.user_attrs
        ]
        raise SearchFailed(
            f"no trial of {study.study_name} is complete: {reasons[-1] if reasons else 'the time was over'}"
        )
    template = experiment.candidates[config.candidate]
    return {
        f"found_{trial.number}": config.configured(
            template,
            {
                **settings_of(trial),
                "note": f"trial {trial.number} of {study.study_name}, which reached {trial.value:.3f}",
            },
        )
        for trial in best
    }


def _one_trial(study: optuna.Study, objective: Objective) -> None:
    before = len(study.get_trials(deepcopy=False))
    try:
        study.optimize(objective, n_trials=1, catch=(Exception,))
    except KeyboardInterrupt:
        # Optuna has failed the trial; the next process of the search retries it.
        for trial in study.get_trials(deepcopy=False)[before - 1 :]:
            if trial.state == TrialState.FAIL and FAILURE not in trial.user_attrs:
                retry(study, trial)
        raise
    except ValueError as error:
        # Optuna will not end a trial that has ended. After a long standstill, such as a machine that slept, others took
        # this process for dead, failed its trial and try it again; so this one continues with the next.
        if not str(error).startswith("Cannot tell a "):
            raise
        log.warning("trial_taken_over", extra=fields(study=study.study_name, why=str(error)))


def _left(study: optuna.Study, config: SearchConfig) -> int:
    """Trials that are not started."""
    running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    return config.trials - done(study) - running
