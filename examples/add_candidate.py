"""Add a kind of candidate, naive Bayes on word counts, and compare it with the quickstart's TF-IDF baseline.

`python -m examples.add_candidate` trains both and registers the winner. To have the kind in every experiment, put the
class and the function into a file in `training/kinds/`; nothing else has to be edited: its keys are in experiment
files, in their JSON schema and in overrides, and it is evaluated, searched and compared like every candidate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from training.config.candidate import CandidateConfig
from training.kinds.registry import register_candidate

if TYPE_CHECKING:
    from training.data import Splits
    from training.models.result import Trained, TrainingContext


class NaiveBayesConfig(CandidateConfig):
    """Multinomial naive Bayes on word counts."""

    kind: Literal["naive_bayes"] = "naive_bayes"
    """Kind of the candidate."""

    alpha: float = Field(default=1.0, gt=0)
    """Additive smoothing of the counts (scikit-learn's alpha)."""


@register_candidate(NaiveBayesConfig)
def train_naive_bayes(config: NaiveBayesConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Fit on the training part, and write `pipeline.skops`; the runtime `sklearn` serves it."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    from classifier import Description
    from classifier.runtimes.sklearn import save_skops
    from training.models.result import Trained

    pipeline = make_pipeline(CountVectorizer(), MultinomialNB(alpha=config.alpha))
    pipeline.fit(splits.train.texts, splits.train.labels)
    save_skops(pipeline, context.bundle / "pipeline.skops")
    labels = tuple(str(label) for label in pipeline.classes_)
    return Trained(Description(kind="sklearn", model_file="pipeline.skops", labels=labels))


if __name__ == "__main__":
    from training.experiment.loader import (
        load_experiment,  # builds the schema from the kinds that are registered now
    )
    from training.pipeline.run import run_experiment

    overrides = [
        "candidates.cascade=null",
        "candidates.static_linear=null",
        "candidates.minilm_3=null",
        "candidates.tfidf_catboost=null",
    ]
    run_experiment(load_experiment("quickstart", [*overrides, "candidates.bayes={kind: naive_bayes}"]))
