"""The search: trial after trial until all are done, beside whichever other processes search the same."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.progress import Progress

from stores.models import ModelRegistry
from training.candidates.kinds import Candidate
from training.data import Splits
from training.errors import SearchFailed
from training.experiment import Experiment
from training.logs import fields
from training.search.config import SearchConfig
from training.search.space import settings_of
from training.search.study import fail_dead_trials, open_study, retry
from training.search.trials import FAILURE, PARENT, Objective
from training.settings import TrainingSettings

_LOOK_AGAIN_SECONDS = 0.5
log = logging.getLogger(__name__)


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
    study = open_study(experiment, splits, TrainingSettings())
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


def found_candidates(experiment: Experiment, study: optuna.Study) -> dict[str, Candidate]:
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
        # Optuna has failed the trial; whoever goes on with the search tries it again.
        for trial in study.get_trials(deepcopy=False)[before - 1 :]:
            if trial.state == TrialState.FAIL and FAILURE not in trial.user_attrs:
                retry(study, trial)
        raise
    except ValueError as error:
        # Optuna will not end a trial that has ended. After a long standstill, such as a machine that slept, others took
        # this process for dead, failed its trial and try it again; so this one goes on with the next.
        if not str(error).startswith("Cannot tell a "):
            raise
        log.warning("trial_taken_over", extra=fields(study=study.study_name, why=str(error)))


def _left(study: optuna.Study, config: SearchConfig) -> int:
    """Trials that nobody has begun."""
    running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    return config.trials - done(study) - running
