"""The two that the gate compares: what each says of the same test texts, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass

from classifier import BundleError, Classifier
from classifier.runtime import Probabilities
from stores.errors import ModelNotRegistered
from stores.models import CHAMPION, ModelRegistry, RegisteredModel
from training.cost import Cost, cost_of
from training.data import Splits
from training.evaluation import Scores


@dataclass(frozen=True)
class Contender:
    """The winner of a run."""

    name: str
    labels: tuple[str, ...]
    probabilities: Probabilities
    """(n, labels) on the test part."""
    scores: Scores
    """What came of them."""
    cost: Cost


@dataclass(frozen=True)
class Champion:
    """The champion until now."""

    version: str
    labels: tuple[str, ...]
    probabilities: Probabilities | None
    """(n, labels) on the test part; None when it cannot be run."""
    knows_the_data: bool = True
    """Whether it learned from the same training part, so that no test text can be known to it."""
    fault: str = ""
    """Why it cannot be run."""
    cost: Cost | None = None
    """Measured on the same machine and texts as the contender's, a while later; None when it cannot be run."""


def current_champion(registry: ModelRegistry, splits: Splits, *, signing_key: str | None) -> Champion | None:
    """The champion, run on the test part; None when there is none.

    Raises:
        RegistryUnavailable: MLflow does not answer.
    """
    try:
        registered = registry.by_alias(CHAMPION)
    except ModelNotRegistered:
        return None
    try:
        return _run(registered, registry, splits, signing_key)
    except BundleError as error:
        return Champion(registered.version, (), None, fault=str(error))


def _run(
    registered: RegisteredModel, registry: ModelRegistry, splits: Splits, signing_key: str | None
) -> Champion:
    classifier = Classifier.load(registry.fetch(registered), signing_key=signing_key)
    learned_from = classifier.manifest.get("data", {}).get("train_fingerprint")
    return Champion(
        registered.version,
        classifier.labels,
        classifier.predict(splits.test.texts),
        knows_the_data=learned_from == splits.train.fingerprint,
        cost=cost_of(classifier, splits.validation.texts),
    )
