"""The conclusion of a comparison in words: the recommended model, margin and cost; the gain of distillation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.config.distillation import DistillationConfig
from training.data import Splits
from training.evaluation.candidate import CandidateResult, difference
from training.evaluation.intervals import Interval
from training.experiment.schema import Experiment


@dataclass(frozen=True)
class Rival:
    """A candidate beside the best one."""

    evaluated: CandidateResult
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


def conclude(
    experiment: Experiment,
    evaluated: Sequence[CandidateResult],
    winner: CandidateResult | None,
    splits: Splits,
) -> str:
    """The conclusion as Markdown; empty where there are fewer than two candidates to compare.

    The one that the others are compared with is the winner, which the validation part chose: choosing it by the test
    part would flatter it.
    """
    if len(evaluated) < 2:
        return ""

    def compare(one: CandidateResult, other: CandidateResult) -> Interval:
        return difference(one, other, splits, experiment.gate, seed=experiment.seed)

    best = winner or max(evaluated, key=lambda item: item.validation.macro_f1.value)
    rivals = [Rival(item, compare(item, best)) for item in evaluated if item.name != best.name]
    rivals.sort(key=lambda rival: -rival.difference.value)
    lines = [
        f"# Conclusion of {experiment.name}",
        "",
        *_smoke(experiment),
        f"The validation part chose **{best.name}**{_among(experiment)}. On {best.test.texts:,} test texts, "
        f"which no choice has seen, it reaches a macro-F1 of {best.test.macro_f1} and an accuracy of "
        f"{best.test.accuracy}. It takes {_cost(best)}. The differences are those to its macro-F1.",
        "",
        *_table(best, rivals, experiment),
        "",
        *(f"- {_compared(best, rival)}" for rival in rivals),
        "",
        "## What to choose",
        "",
        *(f"- {sentence}" for sentence in _choices(best, rivals, compare)),
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


def _among(experiment: Experiment) -> str:
    return "" if experiment.baselines_may_win else " among the candidates that may win"


def _table(best: CandidateResult, rivals: Sequence[Rival], experiment: Experiment) -> list[str]:
    def named(item: CandidateResult) -> str:
        return f"{item.name} (baseline)" if experiment.candidates[item.name].baseline else item.name

    rows = [(best, "–"), *((rival.evaluated, _signed(rival.difference)) for rival in rivals)]
    return [
        "| candidate | macro-F1 | accuracy | difference | size (MB) | latency (ms) |",
        "|---|---|---|---|---|---|",
        *(
            f"| {named(item)} | {item.test.macro_f1} | {item.test.accuracy} | {gain} | {item.megabytes:.1f} | "
            f"{item.milliseconds:.1f} |"
            for item, gain in rows
        ),
    ]


def _compared(best: CandidateResult, rival: Rival) -> str:
    item, gain = rival.evaluated, rival.difference
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


def _choices(
    best: CandidateResult,
    rivals: Sequence[Rival],
    to_top: Callable[[CandidateResult, CandidateResult], Interval],
) -> list[str]:
    """Which candidate to take for quality, latency and size; `to_top` compares a candidate with the best of all."""
    better = [rival for rival in rivals if rival.shown_better]
    top = max(better, key=lambda rival: rival.difference.value).evaluated if better else best
    others = {item.name: to_top(item, top) for item in _everyone(best, rivals) if item.name != top.name}
    as_good = [
        top,
        *(item for item in _everyone(best, rivals) if item.name in others and others[item.name].high >= 0),
    ]
    said = [_quality_choice(best, rivals)]
    questions: tuple[tuple[str, Callable[[CandidateResult], float]], ...] = (
        ("latency", lambda item: item.milliseconds),
        ("size", lambda item: item.megabytes),
    )
    for what, cost in questions:
        cheapest, equal = min(_everyone(best, rivals), key=cost), min(as_good, key=cost)
        said.append(
            f"For {what} without a loss of quality that these texts show: **{equal.name}** ({_cost(equal)})."
        )
        if cheapest.name != equal.name:
            loss = others[cheapest.name]
            said.append(
                f"For {what} alone: **{cheapest.name}** ({_cost(cheapest)}), which costs {-loss.value:.3f} "
                f"macro-F1 (interval {-loss.high:.3f} to {-loss.low:.3f})."
            )
    return said


def _everyone(best: CandidateResult, rivals: Sequence[Rival]) -> list[CandidateResult]:
    return [best, *(rival.evaluated for rival in rivals)]


def _quality_choice(best: CandidateResult, rivals: Sequence[Rival]) -> str:
    """Which candidate to take for its quality: the winner only where no other one measured better."""
    ahead = max(rivals, key=lambda rival: rival.difference.value)
    gain = ahead.difference
    if gain.value <= 0:
        return f"For quality alone: **{best.name}**."
    interval = f"{gain.value:+.3f} macro-F1, interval {gain.low:+.3f} to {gain.high:+.3f}"
    if ahead.shown_better:
        return (
            f"For quality alone: **{ahead.evaluated.name}**, which is better than {best.name} ({interval})."
        )
    return (
        f"For quality alone these texts do not decide between **{best.name}** and **{ahead.evaluated.name}**, which "
        f"measured higher ({interval})."
    )


def _cost(item: CandidateResult) -> str:
    return f"{item.megabytes:.1f} MB and {item.milliseconds:.1f} ms per text"


def _times(factor: float, more: str, less: str) -> str:
    if 0.95 < factor < 1.05:
        return f"no {more}"
    return f"{factor:.1f} times {more}" if factor > 1 else f"{1 / factor:.1f} times {less}"


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def student_sentences(
    experiment: Experiment, evaluated: Sequence[CandidateResult], splits: Splits
) -> list[str]:
    """For each student a sentence about each candidate that is no student: the paired difference of macro-F1."""
    students = [
        item for item in evaluated if isinstance(experiment.candidates[item.name], DistillationConfig)
    ]
    return [
        _sentence(student, other, experiment, splits)
        for student in students
        for other in evaluated
        if other not in students
    ]


def baseline_sentences(
    experiment: Experiment, evaluated: Sequence[CandidateResult], winner: CandidateResult, splits: Splits
) -> list[str]:
    """A sentence for each baseline that the winner is not shown to beat on the test part."""
    sentences = []
    for item in evaluated:
        if item.name == winner.name or not experiment.candidates[item.name].baseline:
            continue
        gain = difference(winner, item, splits, experiment.gate, seed=experiment.seed)
        if gain.low > 0:
            continue
        relation = "better than" if gain.high < 0 else "as good as"
        sentences.append(
            f"The baseline {item.name} is {relation} {winner.name} here: the winner's macro-F1 differs by "
            f"{gain.value:+.3f} (interval {gain.low:+.3f} to {gain.high:+.3f}), and the baseline takes "
            f"{item.megabytes:.1f} MB and {item.milliseconds:.1f} ms per text against {winner.megabytes:.1f} MB and "
            f"{winner.milliseconds:.1f} ms."
        )
    return sentences


@dataclass(frozen=True)
class WinnerComparison:
    """The winner compared with the other candidates, in words."""

    baselines: tuple[str, ...] = ()
    """See `baseline_sentences`."""
    students: tuple[str, ...] = ()
    """See `student_sentences`."""
    conclusion: str = ""
    """Markdown; empty where there is nothing to compare."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """Those about baselines and students."""
        return (*self.baselines, *self.students)


def compare_winner(
    experiment: Experiment, evaluated: Sequence[CandidateResult], winner: CandidateResult, splits: Splits
) -> WinnerComparison:
    """Compare the winner with the baselines, students with the others, and all with one another."""
    return WinnerComparison(
        tuple(baseline_sentences(experiment, evaluated, winner, splits)),
        tuple(student_sentences(experiment, evaluated, splits)),
        conclude(experiment, evaluated, winner, splits),
    )


def write_comparison(folder: Path, comparison: WinnerComparison) -> None:
    """Write `students.md` and `conclusion.md` into `folder`, each where there is something to say."""
    if comparison.students:
        text = "# Students\n\n" + "".join(f"- {sentence}\n" for sentence in comparison.students)
        (folder / "students.md").write_text(text, encoding="utf-8")
    if comparison.conclusion:
        (folder / "conclusion.md").write_text(comparison.conclusion, encoding="utf-8")


def _sentence(
    student: CandidateResult, other: CandidateResult, experiment: Experiment, splits: Splits
) -> str:
    gain = difference(student, other, splits, experiment.gate, seed=experiment.seed)
    verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not shown to differ"
    return (
        f"Student {student.name} against {other.name}: macro-F1 {gain.value:+.3f} "
        f"(interval {gain.low:+.3f} to {gain.high:+.3f}): {verdict}."
    )
