"""Whether the winner replaces the champion, by the checks of the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stores.names import markdown_cell
from training.config.evaluation import GateConfig
from training.data import Part
from training.data.labels import positions_of
from training.evaluation.behaviour import Behaviour
from training.evaluation.intervals import Interval
from training.evaluation.metrics import Differences, Scores, evaluate, paired_differences, scores_on_live
from training.gate.checks import (
    Check,
    ClassFall,
    behaviour_checks,
    ceiling_checks,
    class_fall_check,
    class_falls,
    floor_check,
    gain_check,
    is_cheaper,
    noninferiority_check,
)
from training.gate.contenders import Champion, Contender
from training.gate.power import Power, power_of


@dataclass(frozen=True)
class Decision:
    """What the gate decided."""

    passed: bool
    """Whether no check failed."""
    reasons: tuple[str, ...]
    """Sentences, with the figures in them."""
    champion_version: str | None = None
    """The champion that the winner was compared with."""
    champion_scores: Scores | None = field(default=None, repr=False)
    """What it reaches on the same test texts."""
    difference: Interval | None = None
    """Macro-F1 of the winner minus that of the champion, on the same test texts."""
    power: Power | None = None
    """The gain that the test part can show; None where there was no champion to compare with."""
    checks: tuple[Check, ...] = ()
    """Everything that was looked at."""
    falls: tuple[ClassFall, ...] = ()
    """Each class against the champion; empty where there was none to compare with."""
    differences: Differences | None = field(default=None, repr=False)
    """What was resampled, for the pictures."""
    live: Scores | None = field(default=None, repr=False)
    """What the winner reaches on the live texts of the test part; None where there are none."""
    champion_live: Scores | None = field(default=None, repr=False)
    """What the champion reaches on the same."""

    withheld: tuple[str, ...] = ()
    """Why the winner gets no alias, whatever the checks say (`training.gate.contenders`)."""
    behaviour: Behaviour | None = field(default=None, repr=False)
    """Of the winner, for a second judgement; None where it was not tried."""

    @property
    def promoted(self) -> bool:
        """Whether the winner becomes champion."""
        return self.passed and not self.withheld

    @property
    def alias(self) -> str | None:
        """Alias that the winner gets: `champion`, `challenger`, or None where it is withheld."""
        if self.withheld:
            return None
        return "champion" if self.passed else "challenger"

    @property
    def verdict(self) -> str:
        """What follows for the winner, as the end of a sentence that begins with its name."""
        if self.withheld:
            return "is registered without an alias"
        return "becomes champion" if self.passed else "stays challenger"

    def as_markdown(self, candidate: str, experiment: str) -> str:
        """The decision as a page."""
        lines = [f"# {candidate} {self.verdict}", "", f"Experiment `{experiment}`.", ""]
        lines += [f"- {reason}" for reason in self.reasons]
        if self.checks:
            lines += ["", "| Check | Value | Limit | Result |", "|---|---|---|---|"]
            lines += [
                f"| {' | '.join(map(markdown_cell, (item.title, item.value, item.limit, item.outcome)))} |"
                for item in self.checks
            ]
        return "\n".join(lines) + "\n"

    def tags(self) -> dict[str, str]:
        """The decision as tags of a model version: the whole of it in words, and each check by itself."""
        found = {"gate": "passed" if self.passed else "failed", "gate_reasons": " ".join(self.reasons)}
        if self.withheld:
            found["alias_withheld"] = " ".join(self.withheld)
        if self.champion_version is not None:
            found["compared_with_version"] = self.champion_version
        if self.difference is not None:
            found["macro_f1_gain"] = str(self.difference)
        if self.power is not None:
            found["smallest_gain"] = f"{self.power.smallest_gain:.4f}"
        for name, scores in (("live", self.live), ("champion_live", self.champion_live)):
            if scores is not None:
                found |= {f"{name}_accuracy": str(scores.accuracy), f"{name}_macro_f1": str(scores.macro_f1)}
        for check in self.checks:
            found[f"gate_{check.name}"] = f"{check.outcome}: {check.value}; demanded: {check.limit}"
        return found


def decide(
    contender: Contender,
    test: Part,
    champion: Champion | None,
    gate: GateConfig,
    *,
    seed: int,
    behaviour: Behaviour | None = None,
) -> Decision:
    """Whether `contender` replaces `champion`, both evaluated on the texts of `test`.

    It does where every check of `gate` passes; where there is no champion, all but those that compare with it.
    """
    floor = floor_check(contender.scores, gate)
    own = [floor, *ceiling_checks(contender, gate), *behaviour_checks(behaviour, gate)]
    if champion is None:
        return _concluded(own, [floor.words, "There is no champion yet, so there is nothing to beat."])
    if champion.probabilities is None:
        why = (
            f"The champion, version {champion.version}, cannot be run: {champion.fault}. Unbeaten, it stays; "
            "`python -m training promote VERSION --force` overrules this."
        )
        return _not_compared(own, [floor.words, why], champion)
    if tuple(champion.labels) != contender.labels:
        why = (
            f"The champion, version {champion.version}, knows other labels ({', '.join(champion.labels)}), so the "
            "two cannot be compared."
        )
        return _not_compared(own, [floor.words, why], champion)

    theirs = evaluate(
        champion.probabilities, test.labels, contender.labels, seed=seed, confidence=gate.confidence,
        resamples=gate.resamples,
    )  # fmt: skip
    differences = paired_differences(
        contender.probabilities, champion.probabilities, test.labels, contender.labels, seed=seed,
        resamples=gate.resamples,
    )  # fmt: skip
    gained, gain = gain_check(differences, gate)
    if (
        gate.prefer == "cheaper"
        and gained.outcome == "failed"
        and is_cheaper(contender.cost, champion.cost, gate)
    ):
        gained = noninferiority_check(differences, gate)
    falls = class_falls(differences, contender.scores, gate)
    fallen = class_fall_check(falls, gate)
    truth = positions_of(test.labels, contender.labels)
    own_answers, their_answers = (
        probabilities.argmax(axis=1) for probabilities in (contender.probabilities, champion.probabilities)
    )
    power = power_of(differences, own_answers == truth, their_answers == truth, gate)
    same = bool((own_answers == their_answers).all())
    reasons = [
        floor.words,
        f"The champion, version {champion.version}, reaches {theirs.macro_f1} on the same texts"
        + (", with the same answer to each of them." if same else "."),
        gained.words,
        power.sentence(),
    ]
    live, champion_live = (
        scores_on_live(
            probabilities,
            test,
            contender.labels,
            seed=seed,
            confidence=gate.confidence,
            resamples=gate.resamples,
        )
        for probabilities in (contender.probabilities, champion.probabilities)
    )
    if live is not None and champion_live is not None:
        reasons.append(
            f"On the {live.texts} live texts among them the winner's accuracy is {live.accuracy}, the champion's "
            f"{champion_live.accuracy}."
        )
    if champion.compared_as:
        reasons.append(
            f"The champion was trained on all texts, these among them, so version {champion.compared_as}, "
            "trained without them, is compared instead."
        )
    if not champion.knows_the_data:
        reasons.append(
            "The champion learned from another training part: it may have seen some of these texts, which can only "
            "have helped it."
        )
    return _concluded(
        [gained, fallen, *own],
        reasons,
        champion_version=champion.version,
        champion_scores=theirs,
        difference=gain,
        power=power,
        falls=falls,
        differences=differences,
        live=live,
        champion_live=champion_live,
    )


def _concluded(checks: Sequence[Check], reasons: Sequence[str], **facts: object) -> Decision:
    """The decision that follows from `checks`; the sentences of those that failed or warn end the reasons."""
    notable = [check.words for check in checks if check.outcome in ("failed", "warning")]
    passed = all(check.outcome != "failed" for check in checks)
    said = (*reasons, *(words for words in notable if words not in reasons))
    return Decision(passed, said, checks=tuple(checks), **facts)  # type: ignore[arg-type]


def _not_compared(checks: Sequence[Check], reasons: Sequence[str], champion: Champion) -> Decision:
    found = Check(
        "gain", "Macro-F1 gained on the champion", "cannot be compared", "interval above 0", "failed", reasons[-1]
    )  # fmt: skip
    return _concluded([found, *checks], reasons, champion_version=champion.version)
