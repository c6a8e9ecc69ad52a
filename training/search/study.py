"""The Optuna study: the search space, a sampler seeded per trial, storage in SQL, and dead trials."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from stores.registry import ModelRegistry
from training.config.search import Dimension, PrunerConfig, SearchConfig
from training.data import Splits
from training.errors import SearchUnavailable
from training.experiment.schema import Experiment
from training.models.fingerprint import training_identity, training_inputs
from training.settings import TrainingSettings

RETRIED = "failed_trial"
"""System attribute that Optuna gives to the second try of a trial whose process died."""


def suggest_settings(trial: Trial, space: Mapping[str, Dimension]) -> dict[str, Any]:
    """Field → value, as the trial's sampler chooses."""
    settings: dict[str, Any] = {}
    for field, dimension in space.items():
        low, high = dimension.low, dimension.high
        if dimension.choices is not None:
            # As JSON: a database keeps neither lists nor the difference between 1 and true.
            settings[field] = json.loads(
                trial.suggest_categorical(field, [json.dumps(choice) for choice in dimension.choices])
            )
        elif isinstance(low, int) and isinstance(high, int):
            settings[field] = trial.suggest_int(field, low, high, log=dimension.log)
        else:
            assert low is not None
            assert high is not None
            settings[field] = trial.suggest_float(field, low, high, log=dimension.log)
    return settings


def settings_of(trial: FrozenTrial) -> dict[str, Any]:
    """Field → value of a trial that was drawn."""
    return {
        field: json.loads(value) if isinstance(value, str) else value for field, value in trial.params.items()
    }


class SeededByTrial(BaseSampler):
    """A tree-structured Parzen estimator whose randomness depends on the seed and the place in the study alone.

    One seed for a whole process would make every process draw the same, and a search that goes on after a stop draw
    again what it drew before.
    """

    def __init__(self, seed: int, startup_trials: int) -> None:
        self._seed, self._startup_trials = seed, startup_trials
        self._drawing: BaseSampler = self._sampler(0)

    def _sampler(self, place: int) -> BaseSampler:
        seed = int(np.random.default_rng([self._seed, place]).integers(2**31))
        return TPESampler(seed=seed, n_startup_trials=self._startup_trials, constant_liar=True)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin this trial's own stream; second tries draw nothing, so they do not count."""
        earlier = (other for other in study.get_trials(deepcopy=False) if other.number < trial.number)
        place = sum(RETRIED not in other.system_attrs for other in earlier)
        self._drawing = self._sampler(place)
        self._drawing.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the estimator does."""
        return self._drawing.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the estimator does."""
        return self._drawing.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the estimator does."""
        return self._drawing.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """As the estimator does."""
        self._drawing.after_trial(study, trial, state, values)


_MISSED_HEARTBEATS = 3
_TRIES = 2
_LOCK_WAIT_SECONDS = 60
_POSTGRES_LOCK = 0x43485352  # any number that is used for nothing else


def open_study(
    experiment: Experiment, splits: Splits, registry: ModelRegistry, settings: TrainingSettings
) -> optuna.Study:
    """The study of `experiment`'s search on these texts: made if there is none, else with all its trials.

    Raises:
        SearchUnavailable: its database does not answer.
    """
    search = experiment.search
    assert search is not None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    address = settings.search_address
    try:
        with _turn(address):
            return optuna.create_study(
                study_name=study_name(experiment, splits, registry),
                storage=_storage(address, search),
                direction="maximize",
                sampler=SeededByTrial(experiment.seed, search.startup_trials),
                pruner=_pruner(search.pruner),
                load_if_exists=True,
            )
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        where = make_url(address).render_as_string(hide_password=True)
        raise SearchUnavailable(f"the trials at {where} (SEARCH_URL) cannot be read: {error}") from None


def study_name(experiment: Experiment, splits: Splits, registry: ModelRegistry | None = None) -> str:
    """Name of the study: the same for the same search, another when anything that affects results changes.

    That is the `training_identity` of the candidate that is searched from, and the search's own options.
    """
    search = experiment.search
    assert search is not None
    template = experiment.candidates[search.candidate]
    inputs = training_inputs(template, experiment.candidates, splits, experiment.seed, registry)
    identity = {
        "training": training_identity(template, splits, experiment.seed, inputs),
        "search": search.model_dump(mode="json", exclude={"trials", "timeout", "keep", "heartbeat"}),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{experiment.name}-{digest[:12]}"


def fail_dead_trials(study: optuna.Study) -> None:
    """Trials whose process has died are failed, and wait to be tried again."""
    with _experimental():
        optuna.storages.fail_stale_trials(study)


def _storage(address: str, search: SearchConfig) -> RDBStorage:
    arguments = {"timeout": _LOCK_WAIT_SECONDS} if address.startswith("sqlite:") else {}
    with _experimental():
        return RDBStorage(
            address,
            engine_kwargs={"connect_args": arguments},
            heartbeat_interval=search.heartbeat,
            grace_period=_MISSED_HEARTBEATS * search.heartbeat,
            heartbeat_stale_trial_callback=retry,
        )


def retry(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Let the configuration of a trial that did not end by itself wait for another try."""
    with _experimental():
        RetryHeartbeatStaleTrialCallback(max_retry=_TRIES)(study, trial)


def _pruner(config: PrunerConfig) -> BasePruner:
    if config.kind == "median":
        return MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup_epochs)
    if config.kind == "halving":
        return SuccessiveHalvingPruner(min_resource=max(1, config.warmup_epochs), reduction_factor=2)
    return NopPruner()


@contextmanager
def _turn(address: str) -> Iterator[None]:
    """One process at a time: a new database that two fill with tables at once is broken, or stops one of them."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        database = Path(url.database or "").absolute()
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{database}.lock"):
            yield
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":  # freed when the connection is closed
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _POSTGRES_LOCK})
            yield
    finally:
        engine.dispose()


@contextmanager
def _experimental() -> Iterator[None]:
    """Optuna calls heartbeats experimental at every use; that they work here is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
