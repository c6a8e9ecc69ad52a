"""The compared models: winner and champion, on the same texts; reasons to withhold the alias."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from classifier import BundleError, Classifier
from classifier.runtime import Probabilities
from classifier.signing import SigningKeys
from stores.errors import ModelNotRegistered, NotABundle
from stores.promotion import DATA_SOURCE, SOURCE_FINGERPRINT, label_change, labels_in, other_source
from stores.registry import CHAMPION, PREVIOUS, ModelRegistry, RegisteredModel
from stores.signatures import check_version
from training.data import Splits
from training.evaluation.candidate import CandidateResult
from training.evaluation.cost import Cost, cost_of
from training.evaluation.metrics import Scores

JUDGED_VERSION = "judged_version"
"""Tag of a version that was refitted on all labelled texts: the version that its figures are of."""


@dataclass(frozen=True)
class Contender:
    """The winner of a run."""

    name: str
    labels: tuple[str, ...]
    probabilities: Probabilities
    """(n, labels) on the test part."""
    scores: Scores
    """Results of the behavioural tests."""
    cost: Cost

    @classmethod
    def of(cls, winner: CandidateResult) -> Contender:
        """An evaluated candidate as the gate sees it."""
        probabilities = winner.test_predictions.probabilities
        return cls(winner.name, winner.description.labels, probabilities, winner.test, winner.cost)


@dataclass(frozen=True)
class Champion:
    """The champion until now."""

    version: str
    labels: tuple[str, ...]
    """Empty if neither its bundle nor its tags state them."""
    probabilities: Probabilities | None
    """(n, labels) on the test part; None when it cannot be run."""
    compared_as: str | None = None
    """Version compared in its place, where the champion was trained on the test part."""
    knows_the_data: bool = True
    """Whether it learned from the same training part, so that no test text can be known to it."""
    fault: str = ""
    """Why it cannot be run."""
    cost: Cost | None = None
    """Measured on the same machine and texts as the contender's, a while later; None when it cannot be run."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of its version: data source and fingerprints, among others."""


def current_champion(
    registry: ModelRegistry, splits: Splits, *, keys: SigningKeys | None, own: Collection[str] = ()
) -> Champion | None:
    """The champion, run on the test part; None when there is none.

    Args:
        registry: where it is registered.
        splits: the texts.
        keys: keys that bundles have to be signed by, if any.
        own: versions that the winner has already, where an interrupted run had registered it. If one is champion, the
            winner is evaluated once more against the one before.

    Raises:
        RegistryUnavailable: MLflow does not answer.
    """
    try:
        registered = registry.by_alias(CHAMPION)
        if registered.version in own:
            registered = registry.by_alias(PREVIOUS)
    except ModelNotRegistered:
        return None
    try:
        return _run(registered, registry, splits, keys)
    except (BundleError, NotABundle) as error:
        labels = labels_in(registered.tags) or ()
        return Champion(registered.version, labels, None, fault=str(error), tags=registered.tags)


def _run(
    registered: RegisteredModel, registry: ModelRegistry, splits: Splits, keys: SigningKeys | None
) -> Champion:
    compared = _judged_twin(registered, registry) or registered
    folder = registry.fetch(compared)
    check_version(compared, folder, keys)
    classifier = Classifier.load(folder)
    learned_from = classifier.manifest.get("data", {}).get("train_fingerprint")
    return Champion(
        registered.version,
        classifier.labels,
        classifier.predict(splits.test.originals),
        compared_as=compared.version if compared.version != registered.version else None,
        knows_the_data=learned_from == splits.train.fingerprint,
        cost=cost_of(classifier, splits.validation.texts),
        tags=registered.tags,
    )


def _judged_twin(registered: RegisteredModel, registry: ModelRegistry) -> RegisteredModel | None:
    """Of a version that was refitted on all labelled texts, the one that was evaluated; None where there is none."""
    version = registered.tags.get(JUDGED_VERSION)
    try:
        return registry.by_version(version) if version else None
    except ModelNotRegistered:  # deleted by a person
        return None


def withholding_reasons(
    champion: Champion | None, labels: Sequence[str], source: str, fingerprint: str
) -> tuple[str, ...]:
    """Reasons, as sentences, not to give the winner an alias; empty where there is none.

    Args:
        champion: the champion until now; None: there is none, so the winner may become it.
        labels: the winner's.
        source: identity of the winner's data source (`training.data.loading`).
        fingerprint: SHA-256 over the usable texts and labels of that source.
    """
    if champion is None:
        return ()
    reasons = []
    added = [label for label in labels if label not in champion.labels]
    removed = [label for label in champion.labels if label not in labels]
    if champion.labels and (added or removed):
        reasons.append(
            f"Its labels are not those of the champion, version {champion.version}: {label_change(added, removed)}."
        )
    if other_source(champion.tags, {DATA_SOURCE: source, SOURCE_FINGERPRINT: fingerprint}):
        reasons.append(
            f"It learned from {source}, the champion, version {champion.version}, from {champion.tags[DATA_SOURCE]}."
        )
    return tuple(reasons)


def changed_source(champion: Champion | None, source: str, fingerprint: str) -> str | None:
    """A sentence where the source is the champion's and its texts are no longer; else None."""
    if champion is None or champion.tags.get(DATA_SOURCE) != source:
        return None
    before = champion.tags.get(SOURCE_FINGERPRINT)
    if before is None or before == fingerprint:
        return None
    return (
        f"The texts of {source} are not those that the champion, version {champion.version}, was made from: the source "
        f"has changed, or is read in another way (fingerprint {before[:12]} then, {fingerprint[:12]} now)."
    )
