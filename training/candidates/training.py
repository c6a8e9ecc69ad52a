"""One door to every kind of candidate."""

from __future__ import annotations

from training.candidates.config import CatBoostConfig, LogregConfig, PerceptronConfig
from training.candidates.kinds import Candidate
from training.candidates.trained import Trained, Workplace
from training.data import Splits
from training.distillation.config import DistilledConfig, DistilledLinearConfig


def train_candidate(config: Candidate, splits: Splits, workplace: Workplace) -> Trained:
    """Train a candidate on `splits.train`, choosing epochs by `splits.validation`; other parts are not looked at.

    Raises:
        TrainingError: weights are missing, or the exported network is not the trained one.
    """
    # Imported when asked for: torch and transformers take seconds.
    if isinstance(config, LogregConfig):
        from training.candidates.baselines import train_logreg

        return train_logreg(config, splits, workplace)
    if isinstance(config, PerceptronConfig):
        from training.candidates.perceptron import train_perceptron

        return train_perceptron(config, splits, workplace)
    if isinstance(config, CatBoostConfig):
        from training.candidates.baselines import train_catboost

        return train_catboost(config, splits, workplace)
    if isinstance(config, DistilledLinearConfig):
        from training.distillation.linear import train_linear_student

        return train_linear_student(config, splits, workplace)
    if isinstance(config, DistilledConfig):
        from training.distillation.student import train_student

        return train_student(config, splits, workplace)
    from training.candidates.networks import train_network

    return train_network(config, splits, workplace)
