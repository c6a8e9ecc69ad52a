"""The checks of the gate: gain, falls of classes, floor, ceilings and behaviour.

Ceilings, the floor and behaviour are compared with the measured figure, without a margin of error. The macro-F1 and
the classes, which are compared with another classifier, are decided by the interval of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.config.evaluation import GateConfig
from training.evaluation.behaviour import Behaviour
from training.evaluation.cost import Cost
from training.evaluation.intervals import Interval, percentile_interval
from training.evaluation.metrics import (
    Differences,
    Scores,
)
from training.gate.contenders import Contender

Outcome = Literal["passed", "failed", "warning", "no limit"]


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    name: str
    """Short, for tags: `gain`, `class_fall`, `max_megabytes`, …"""
    title: str
    """For people."""
    value: str
    limit: str
    outcome: Outcome
    words: str
    """A sentence with the figures in it."""


@dataclass(frozen=True)
class ClassFall:
    """How one class fares against the champion."""

    label: str
    texts: int
    """Test texts of which it is true."""
    difference: Interval
    """F1 of the winner minus that of the champion."""
    probability: float
    """Share of the resamples in which F1 falls by more than the limit."""
    outcome: Literal["passed", "failed", "unsure"]
    """`unsure`: a larger fall is neither shown nor ruled out; the class has too few texts to tell."""


def gain_check(differences: Differences, gate: GateConfig) -> tuple[Check, Interval]:
    """The macro-F1 difference to the champion: its whole interval must lie above `gate.min_gain`."""
    gain = percentile_interval(differences.macro_f1, differences.macro_f1_draws, gate.confidence)
    passed = gain.low > gate.min_gain
    words = (
        f"The difference is {gain.value:+.3f}, with a {gate.confidence:.0%} interval from {gain.low:+.3f} to "
        f"{gain.high:+.3f} (paired bootstrap, {gate.resamples} resamples), which "
        + ("lies" if passed else "does not lie")
        + f" wholly above {gate.min_gain:g}."
    )
    shown = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    outcome: Outcome = "passed" if passed else "failed"
    return Check(
        "gain", "Macro-F1 gained on the champion", shown, f"interval above {gate.min_gain:g}", outcome, words
    ), gain


NONINFERIORITY = "noninferiority"
_LATENCY_NOISE = 1.25
"""Factor by which two timings of the same model differ on a quiet machine, at most."""


def is_cheaper(cost: Cost, champion: Cost | None, gate: GateConfig) -> bool:
    """Whether it costs at most `gate.cheaper_factor` of the champion's latency or size, and not more of the other."""
    if champion is None:
        return False
    latency, size = cost.milliseconds / champion.milliseconds, cost.megabytes / champion.megabytes
    return (latency <= gate.cheaper_factor and size <= 1.0) or (
        size <= gate.cheaper_factor and latency <= _LATENCY_NOISE
    )


def noninferiority_check(differences: Differences, gate: GateConfig) -> Check:
    """The macro-F1 difference to a more expensive champion: its one-sided interval must lie above minus the margin."""
    low = float(np.quantile(differences.macro_f1_draws, 1 - gate.confidence))
    margin = gate.noninferiority_margin
    passed = low > -margin
    words = (
        f"It is cheaper than the champion, so it must be shown not to be worse by {margin:g} (gate.prefer): the "
        f"difference is {differences.macro_f1:+.3f}, with {gate.confidence:.0%} confidence more than {low:+.3f} "
        "(paired bootstrap, one-sided), which "
        + ("lies" if passed else "does not lie")
        + f" above {-margin:g}."
    )
    shown = f"{differences.macro_f1:+.3f} (above {low:+.3f})"
    return Check(
        NONINFERIORITY, "Macro-F1 against a more expensive champion", shown, f"above {-margin:g}",
        _outcome(passed), words,
    )  # fmt: skip


def class_falls(differences: Differences, scores: Scores, gate: GateConfig) -> tuple[ClassFall, ...]:
    """What becomes of each class against the champion.

    Neither the fall as measured decides, which in a class of a few texts is mostly noise, nor its whole interval, by
    which a small class could fall far and pass. A class fails when the share of resamples in which it falls by more
    than `gate.max_class_fall` reaches `gate.class_fall_certainty`, corrected for the number of classes (Bonferroni):
    with more classes, one falls by chance more easily.
    """
    limit = 1.0 if gate.max_class_fall is None else gate.max_class_fall
    demanded = 1 - (1 - gate.class_fall_certainty) / len(scores.classes)
    found = []
    for position, (label, score) in enumerate(scores.classes.items()):
        draws = differences.f1_draws[:, position]
        draws = draws[~np.isnan(draws)]
        if not len(draws):  # no test text of this class: nothing is known of it
            found.append(ClassFall(label, score.texts, Interval(0.0, -1.0, 1.0), 0.0, "unsure"))
            continue
        difference = percentile_interval(float(differences.f1[position]), draws, gate.confidence)
        probability = float((draws < -limit - 1e-9).mean())
        found.append(
            ClassFall(
                label,
                score.texts,
                difference,
                probability,
                "failed" if probability >= demanded else "unsure" if difference.low < -limit else "passed",
            )
        )
    return tuple(found)


def class_fall_check(falls: Sequence[ClassFall], gate: GateConfig) -> Check:
    """No class may fall by more than `gate.max_class_fall`; see `class_falls`."""
    worst = min(falls, key=lambda fall: fall.difference.value)
    shown = (
        f"{worst.difference.value:+.3f} ({worst.difference.low:+.3f} to {worst.difference.high:+.3f}), "
        f"{worst.label}"
    )
    title = "Worst change of one class's F1"
    if gate.max_class_fall is None:
        words = (
            f"No class has a limit; {worst.label} changes least favourably, by {worst.difference.value:+.3f}."
        )
        return Check("class_fall", title, shown, "–", "no limit", words)
    limit = f"no fall beyond {gate.max_class_fall:g}, shown with {gate.class_fall_certainty:.0%} certainty"
    failed = [fall for fall in falls if fall.outcome == "failed"]
    if failed:
        words = f"F1 falls by more than {gate.max_class_fall:g} in " + _listed(
            [
                f"{fall.label} ({fall.difference.value:+.3f}, on {fall.texts} texts; {fall.probability:.0%} sure)"
                for fall in failed
            ]
        )
        return Check("class_fall", title, shown, limit, "failed", words + ".")
    words = f"No class is shown to fall by more than {gate.max_class_fall:g} in F1"
    if unsure := [f"{fall.label} ({fall.texts} texts)" for fall in falls if fall.outcome == "unsure"]:
        words += f"; too few test texts to rule it out: {', '.join(unsure)}"
    return Check("class_fall", title, shown, limit, "passed", words + ".")


def floor_check(scores: Scores, gate: GateConfig) -> Check:
    """`gate.min_macro_f1`."""
    value, limit = scores.macro_f1.value, gate.min_macro_f1
    title = "Macro-F1 on the test part"
    if limit is None:
        words = f"It reaches a macro-F1 of {scores.macro_f1} on {scores.texts} test texts that no choice has seen."
        return Check("min_macro_f1", title, str(scores.macro_f1), "–", "no limit", words)
    passed = value >= limit
    words = (
        f"It reaches a macro-F1 of {scores.macro_f1} on {scores.texts} test texts that no choice has seen, "
        + ("not below" if passed else "below")
        + f" the floor of {limit:g}."
    )
    return Check("min_macro_f1", title, str(scores.macro_f1), f"at least {limit:g}", _outcome(passed), words)


def ceiling_checks(contender: Contender, gate: GateConfig) -> list[Check]:
    """Latency, size and calibration error."""
    cost, error = contender.cost, contender.scores.calibration_error
    return [
        _ceiling("max_latency_ms_p50", "Latency, median", cost.milliseconds, gate.max_latency_ms_p50, "ms"),
        _ceiling(
            "max_latency_ms_p95", "Latency, 95th percentile", cost.milliseconds_p95,
            gate.max_latency_ms_p95, "ms",
        ),
        _ceiling("max_megabytes", "Size", cost.megabytes, gate.max_megabytes, "MB"),
        _ceiling(
            "max_calibration_error", "Calibration error", error.value, gate.max_calibration_error, "", shown=str(error)
        ),
    ]  # fmt: skip


def behaviour_checks(behaviour: Behaviour | None, gate: GateConfig) -> list[Check]:
    """The behavioural tests, each kind against its limit; a missed one blocks or warns as the experiment says."""
    if behaviour is None:
        return []
    limits = gate.behaviour
    found = []
    for test in behaviour.tests:
        limit: float | None = getattr(limits, f"{test.kind}_min")
        if limit is None:
            words = f"{test.title}: {test.share}."
            found.append(Check(test.name, test.title, str(test.share), "–", "no limit", words))
            continue
        passed = test.share.value >= limit
        outcome: Outcome = _outcome(passed) if passed or limits.on_failure == "block" else "warning"
        words = f"{test.title}: {test.share} of {test.tried}, " + (
            f"not below {limit:g}." if passed else f"below {limit:g}."
        )
        found.append(Check(test.name, test.title, str(test.share), f"at least {limit:g}", outcome, words))
    return found


def _ceiling(
    name: str, title: str, value: float, limit: float | None, unit: str, shown: str | None = None
) -> Check:
    shown = shown or f"{value:.1f} {unit}"
    if limit is None:
        return Check(name, title, shown, "–", "no limit", f"{title}: {shown}.")
    passed = value <= limit
    words = (
        f"{title}: {shown}, "
        + ("within" if passed else "above")
        + f" the ceiling of {limit:g} {unit}".rstrip()
    )
    return Check(name, title, shown, f"at most {limit:g} {unit}".rstrip(), _outcome(passed), words + ".")


def _outcome(passed: bool) -> Outcome:
    return "passed" if passed else "failed"


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
