"""The kinds of candidates that come with the project.

Each function imports what trains its kind when it is called: reading an experiment needs no torch, which takes seconds
to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.config.candidate import CascadeConfig
from training.config.distillation import DistilledConfig, DistilledLinearConfig
from training.config.network import HeadConfig, NetworkConfig
from training.config.tfidf import CatBoostConfig, LogregConfig, PerceptronConfig, StaticLinearConfig
from training.kinds.registry import register_candidate

if TYPE_CHECKING:
    from training.data import Splits
    from training.models.result import Trained, TrainingContext


@register_candidate(NetworkConfig)
def network(config: NetworkConfig, splits: Splits, context: TrainingContext) -> Trained:
    """A pretrained network, fine-tuned."""
    from training.candidates.transformer import train_network

    return train_network(config, splits, context)


@register_candidate(HeadConfig)
def head(config: HeadConfig, splits: Splits, context: TrainingContext) -> Trained:
    """A linear head on a frozen encoder."""
    from training.candidates.frozen_encoder import train_head

    return train_head(config, splits, context)


@register_candidate(LogregConfig)
def logreg(config: LogregConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Logistic regression on TF-IDF."""
    from training.models.sklearn import train_logreg

    return train_logreg(config, splits, context)


@register_candidate(PerceptronConfig)
def perceptron(config: PerceptronConfig, splits: Splits, context: TrainingContext) -> Trained:
    """A multilayer perceptron on TF-IDF."""
    from training.models.sklearn import train_perceptron

    return train_perceptron(config, splits, context)


@register_candidate(CatBoostConfig)
def catboost(config: CatBoostConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Gradient-boosted trees on TF-IDF."""
    from training.models.sklearn import train_catboost

    return train_catboost(config, splits, context)


@register_candidate(DistilledConfig)
def distilled(config: DistilledConfig, splits: Splits, context: TrainingContext) -> Trained:
    """A smaller network, taught by another candidate or version."""
    from training.distillation.student import train_student

    return train_student(config, splits, context)


@register_candidate(DistilledLinearConfig)
def distilled_linear(config: DistilledLinearConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Logistic regression on TF-IDF, taught by another candidate or version."""
    from training.distillation.student import train_linear_student

    return train_linear_student(config, splits, context)


@register_candidate(CascadeConfig)
def cascade(config: CascadeConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Earlier candidates as stages of one classifier."""
    from training.cascade.fit import fit_cascade

    return fit_cascade(config, splits, context)


@register_candidate(StaticLinearConfig)
def static_linear(config: StaticLinearConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Logistic regression on TF-IDF and static token vectors."""
    from training.candidates.static_linear import train_static_linear

    return train_static_linear(config, splits, context)
