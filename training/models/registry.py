"""Training function of each kind of candidate."""

from __future__ import annotations

import time
from dataclasses import replace

from training.data import Splits
from training.models.config import (
    Candidate,
    CatBoostConfig,
    DistilledConfig,
    DistilledLinearConfig,
    HeadConfig,
    LogregConfig,
    PerceptronConfig,
)
from training.models.result import Trained, TrainingContext


def train_candidate(config: Candidate, splits: Splits, context: TrainingContext) -> Trained:
    """Train a candidate on `splits.train`, choosing epochs by `splits.validation`; other parts are not looked at.

    Every kind gets the figures `training_texts`, its labelled texts, and `training_seconds`: of a network without its
    export, and with what it took before an interruption.

    Raises:
        TrainingError: weights are missing, or the exported network is not the trained one.
    """
    started = time.perf_counter()
    trained = _train(config, splits, context)
    figures = {"training_seconds": time.perf_counter() - started, "training_texts": float(len(splits.train))}
    return replace(trained, figures=figures | trained.figures)


def _train(config: Candidate, splits: Splits, context: TrainingContext) -> Trained:
    # Imported when asked for: torch and transformers take seconds.
    if isinstance(config, LogregConfig):
        from training.models.sklearn import train_logreg

        return train_logreg(config, splits, context)
    if isinstance(config, PerceptronConfig):
        from training.models.sklearn import train_perceptron

        return train_perceptron(config, splits, context)
    if isinstance(config, HeadConfig):
        from training.models.frozen_encoder import train_head

        return train_head(config, splits, context)
    if isinstance(config, CatBoostConfig):
        from training.models.sklearn import train_catboost

        return train_catboost(config, splits, context)
    if isinstance(config, DistilledLinearConfig):
        from training.distillation.student import train_linear_student

        return train_linear_student(config, splits, context)
    if isinstance(config, DistilledConfig):
        from training.distillation.student import train_student

        return train_student(config, splits, context)
    from training.models.transformer import train_network

    return train_network(config, splits, context)
