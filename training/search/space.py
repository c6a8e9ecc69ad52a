"""A configuration drawn from the space, and the same draws whoever makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from training.search.config import Dimension

RETRIED = "failed_trial"
"""System attribute that Optuna gives to the second try of a trial whose process died."""


def drawn(trial: Trial, space: Mapping[str, Dimension]) -> dict[str, Any]:
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

    def __init__(self, seed: int, random_trials: int) -> None:
        self._seed, self._random_trials = seed, random_trials
        self._drawing: BaseSampler = self._sampler(0)

    def _sampler(self, place: int) -> BaseSampler:
        seed = int(np.random.default_rng([self._seed, place]).integers(2**31))
        return TPESampler(seed=seed, n_startup_trials=self._random_trials, constant_liar=True)

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
