"""The gate: whether the winner replaces the champion, decided on texts that no choice has seen, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from classifier import BundleError, Classifier
from classifier.runtime import Probabilities
from stores.errors import ModelNotRegistered
from stores.models import CHAMPION, ModelRegistry, RegisteredModel
from training.data import Part, Splits
from training.evaluation import Interval, Scores, evaluate, paired_difference
from training.experiment import GateConfig


@dataclass(frozen=True)
class Champion:
    """The champion until now, and what it says of the test part."""

    version: str
    labels: tuple[str, ...]
    probabilities: Probabilities | None
    """(n, labels) on the test part; None when it cannot be run."""
    knows_the_data: bool = True
    """Whether it learned from the same training part, so that no test text can be known to it."""
    fault: str = ""
    """Why it cannot be run."""


@dataclass(frozen=True)
class Decision:
    """What the gate decided."""

    promoted: bool
    reasons: tuple[str, ...]
    """Sentences, with the figures in them."""
    champion_version: str | None = None
    """The champion that the winner was compared with."""
    champion_macro_f1: Interval | None = None
    difference: Interval | None = None
    """Macro-F1 of the winner minus that of the champion, on the same test texts."""

    @property
    def alias(self) -> str:
        """What becomes of the winner: `champion` or `challenger`."""
        return "champion" if self.promoted else "challenger"

    def as_markdown(self, candidate: str, experiment: str) -> str:
        """The decision as a page."""
        verdict = "becomes champion" if self.promoted else "stays challenger"
        lines = [f"# {candidate} {verdict}", "", f"Experiment `{experiment}`.", ""]
        lines += [f"- {reason}" for reason in self.reasons]
        return "\n".join(lines) + "\n"

    def tags(self) -> dict[str, str]:
        """The decision as tags of a model version."""
        found = {"gate": "passed" if self.promoted else "failed", "gate_reasons": " ".join(self.reasons)}
        if self.champion_version is not None:
            found["compared_with_version"] = self.champion_version
        if self.difference is not None:
            found["macro_f1_gain"] = str(self.difference)
        return found


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
    )


def decide(
    probabilities: Probabilities,
    scores: Scores,
    labels: Sequence[str],
    test: Part,
    champion: Champion | None,
    gate: GateConfig,
    *,
    seed: int,
) -> Decision:
    """Whether a winner with these test `probabilities` (n, labels) and `scores` replaces `champion`.

    It does where there is no champion, or where the interval of the macro-F1 difference lies above `gate.min_gain`.
    """
    reached = (
        f"It reaches a macro-F1 of {scores.macro_f1} on {scores.texts} test texts that no choice has seen."
    )
    if champion is None:
        return Decision(True, (reached, "There is no champion yet, so there is nothing to beat."))
    if champion.probabilities is None:
        why = (
            f"The champion, version {champion.version}, cannot be run: {champion.fault}. Unbeaten, it stays; "
            "`python -m training promote` overrules this."
        )
        return Decision(False, (reached, why), champion.version)
    if tuple(champion.labels) != tuple(labels):
        why = (
            f"The champion, version {champion.version}, knows other labels ({', '.join(champion.labels)}), so the "
            "two cannot be compared; `python -m training promote` overrules this."
        )
        return Decision(False, (reached, why), champion.version)

    sure = {"seed": seed, "confidence": gate.confidence, "resamples": gate.resamples}
    theirs = evaluate(champion.probabilities, test.labels, labels, **sure).macro_f1  # type: ignore[arg-type]
    gain = paired_difference(probabilities, champion.probabilities, test.labels, labels, **sure)  # type: ignore[arg-type]
    promoted = gain.low > gate.min_gain
    same = bool((probabilities.argmax(axis=1) == champion.probabilities.argmax(axis=1)).all())
    reasons = [
        reached,
        f"The champion, version {champion.version}, reaches {theirs} on the same texts"
        + (", with the same answer to each of them." if same else "."),
        f"The difference is {gain.value:+.3f}, with a {gate.confidence:.0%} interval from {gain.low:+.3f} to "
        f"{gain.high:+.3f} (paired bootstrap, {gate.resamples} resamples), which "
        + ("lies" if promoted else "does not lie")
        + f" wholly above {gate.min_gain:g}.",
    ]
    if not champion.knows_the_data:
        reasons.append(
            "The champion learned from another training part: it may have seen some of these texts, which can only "
            "have helped it."
        )
    return Decision(promoted, tuple(reasons), champion.version, theirs, gain)
