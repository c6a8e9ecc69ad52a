"""Where trials are kept: a study in SQL, which any number of processes open, leave and come back to."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from training.data import Splits
from training.errors import SearchUnavailable
from training.experiment import Experiment
from training.search.config import PrunerConfig, SearchConfig
from training.search.space import SeededByTrial
from training.settings import TrainingSettings

_MISSED_HEARTBEATS = 3
_TRIES = 2
_LOCK_WAIT_SECONDS = 60
_POSTGRES_LOCK = 0x43485352  # any number that nobody else uses


def open_study(experiment: Experiment, splits: Splits, settings: TrainingSettings) -> optuna.Study:
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
                study_name=study_name(experiment, splits),
                storage=_storage(address, search),
                direction="maximize",
                sampler=SeededByTrial(experiment.seed, search.random_trials),
                pruner=_pruner(search.pruner),
                load_if_exists=True,
            )
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        where = make_url(address).render_as_string(hide_password=True)
        raise SearchUnavailable(f"the trials at {where} (SEARCH_URL) cannot be read: {error}") from None


def study_name(experiment: Experiment, splits: Splits) -> str:
    """Name of the search: the same for whoever searches the same, another when anything that matters is changed."""
    search = experiment.search
    assert search is not None
    identity = {
        "template": experiment.candidates[search.candidate].model_dump(mode="json", exclude={"note"}),
        "search": search.model_dump(mode="json", exclude={"trials", "timeout", "keep", "heartbeat"}),
        "seed": experiment.seed,
        "data": splits.fingerprint,
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
        return MedianPruner(n_startup_trials=config.first_trials, n_warmup_steps=config.first_epochs)
    if config.kind == "halving":
        return SuccessiveHalvingPruner(min_resource=max(1, config.first_epochs), reduction_factor=2)
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
