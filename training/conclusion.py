"""The conclusion of a comparison, written from its figures: which model, by how much, at what cost, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.data import Splits
from training.experiment import Experiment
from training.judging import Judged, difference
from training.resampling import Interval


@dataclass(frozen=True)
class Rival:
    """A candidate beside the best one."""

    judged: Judged
    difference: Interval
    """Its macro-F1 minus that of the best one, on the same test texts."""

    @property
    def shown_worse(self) -> bool:
        """Whether the whole interval says so."""
        return self.difference.high < 0

    @property
    def shown_better(self) -> bool:
        """Whether the whole interval says so, though validation chose another."""
        return self.difference.low > 0


def conclude(experiment: Experiment, judged: Sequence[Judged], winner: Judged | None, splits: Splits) -> str:
    """The conclusion as Markdown; empty where there are fewer than two candidates to compare.

    The one that the others are compared with is the winner, which the validation part chose: choosing it by the test
    part would flatter it.
    """
    if len(judged) < 2:
        return ""
    best = winner or max(judged, key=lambda item: item.validation.macro_f1.value)
    rivals = [
        Rival(item, difference(item, best, splits, experiment.gate, seed=experiment.seed))
        for item in judged
        if item.name != best.name
    ]
    rivals.sort(key=lambda rival: -rival.difference.value)
    lines = [
        f"# Conclusion of {experiment.name}",
        "",
        *_smoke(experiment),
        f"The validation part chose **{best.name}**. On {best.test.texts:,} test texts, which no choice has seen, it "
        f"reaches a macro-F1 of {best.test.macro_f1} and an accuracy of {best.test.accuracy}. It takes "
        f"{_cost(best)}. The differences are those to its macro-F1.",
        "",
        *_table(best, rivals),
        "",
        *(f"- {_compared(best, rival)}" for rival in rivals),
        "",
        "## What to choose",
        "",
        *(f"- {sentence}" for sentence in _choices(best, rivals)),
        "",
        f"Differences are paired on the same texts, with {experiment.gate.confidence:.0%} bootstrap intervals, each by "
        f"itself. One seed ({experiment.seed}): another draw of the training texts moves the figures too. Times are "
        "medians of single texts on the machine that trained.",
        "",
    ]
    return "\n".join(lines)


def _smoke(experiment: Experiment) -> list[str]:
    if not experiment.is_smoke:
        return []
    return ["This was a smoke run, on stand-ins: nothing below says anything of the real models.", ""]


def _table(best: Judged, rivals: Sequence[Rival]) -> list[str]:
    rows = [(best, "–"), *((rival.judged, _signed(rival.difference)) for rival in rivals)]
    return [
        "| candidate | macro-F1 | accuracy | difference | MB | ms a text |",
        "|---|---|---|---|---|---|",
        *(
            f"| {item.name} | {item.test.macro_f1} | {item.test.accuracy} | {gain} | {item.megabytes:.1f} | "
            f"{item.milliseconds:.1f} |"
            for item, gain in rows
        ),
    ]


def _compared(best: Judged, rival: Rival) -> str:
    item, gain = rival.judged, rival.difference
    if rival.shown_better:
        verdict = (
            f"is better than {best.name} by {gain.value:.3f} (interval {gain.low:.3f} to {gain.high:.3f})"
        )
    elif rival.shown_worse:
        verdict = f"is behind by {-gain.value:.3f} (interval {-gain.high:.3f} to {-gain.low:.3f})"
    else:
        interval = f"interval {gain.low:+.3f} to {gain.high:+.3f}"
        verdict = f"differs by {gain.value:+.3f}, which chance can explain ({interval})"
    size, speed = best.megabytes / item.megabytes, best.milliseconds / item.milliseconds
    return f"**{item.name}** {verdict}; {_times(size, 'smaller', 'larger')} and {_times(speed, 'faster', 'slower')}."


def _choices(best: Judged, rivals: Sequence[Rival]) -> list[str]:
    gains = {rival.judged.name: rival.difference for rival in rivals}
    everyone = [best, *(rival.judged for rival in rivals)]
    as_good = [best, *(rival.judged for rival in rivals if not rival.shown_worse)]
    better = [rival.judged for rival in rivals if rival.shown_better]
    top = max(better, key=lambda item: item.test.macro_f1.value) if better else best
    said = [f"Where quality alone counts: **{top.name}**."]
    questions: tuple[tuple[str, Callable[[Judged], float]], ...] = (
        ("time to answer", lambda item: item.milliseconds),
        ("size", lambda item: item.megabytes),
    )
    for what, cost in questions:
        cheapest, equal = min(everyone, key=cost), min(as_good, key=cost)
        said.append(
            f"Where {what} counts, and quality as far as these texts can tell: **{equal.name}** ({_cost(equal)})"
            + (", the cheapest that is not shown to be worse." if equal.name != best.name else ".")
        )
        if cheapest.name != equal.name:
            gain = gains[cheapest.name]
            said.append(
                f"Where {what} counts most: **{cheapest.name}** ({_cost(cheapest)}), at a price of {-gain.value:.3f} "
                f"macro-F1 (interval {-gain.high:.3f} to {-gain.low:.3f})."
            )
    return said


def _cost(item: Judged) -> str:
    return f"{item.megabytes:.1f} MB and {item.milliseconds:.1f} ms a text"


def _times(factor: float, more: str, less: str) -> str:
    if 0.95 < factor < 1.05:
        return f"no {more}"
    return f"{factor:.1f} times {more}" if factor > 1 else f"{1 / factor:.1f} times {less}"


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
