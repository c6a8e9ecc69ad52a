"""Means over seeds and paired differences, with t intervals."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.errors import ExperimentInvalid
from training.evaluation.intervals import Interval
from training.experiment.schema import Experiment

FIGURE = "test_macro_f1"
"""What candidates are compared by."""


@dataclass(frozen=True)
class Plan:
    """What is compared, and how."""

    experiment: Experiment
    seeds: int
    """How many, from the experiment's own seed upwards."""
    against: str | None = None
    """The candidate that all others are compared with; None: the first."""
    resplit: bool = False
    """Whether each seed also draws its own split, so that the intervals speak of other texts, too."""
    confidence: float = 0.95

    @property
    def reference(self) -> str:
        """The candidate to compare with.

        Raises:
            ExperimentInvalid: there is no such candidate.
        """
        names = list(self.experiment.candidates)
        if self.against is None:
            return names[0]
        if self.against not in names:
            near = difflib.get_close_matches(self.against, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
            raise ExperimentInvalid(f"no candidate {self.against!r} in {self.experiment.name}: {hint}")
        return self.against

    def rounds(self) -> Iterator[tuple[int, list[str]]]:
        """Seed → candidates in the order of training: a different one first each time, after those it is built on.

        Taking turns spreads what else the machine does over all of them, so that times can be compared.
        """
        names = list(self.experiment.candidates)
        for place in range(self.seeds):
            first = place % len(names)
            yield self.experiment.seed + place, self._after_their_parts(names[first:] + names[:first])

    def _after_their_parts(self, names: Sequence[str]) -> list[str]:
        """`names` in order, but each after the candidates that its own configuration names."""
        candidates, ordered = self.experiment.candidates, dict[str, None]()

        def add(name: str) -> None:
            for part in candidates[name].built_on:
                if part in candidates and part != name:
                    add(part)
            ordered.setdefault(name)

        for name in names:
            add(name)
        return list(ordered)


@dataclass(frozen=True)
class Trial:
    """Result of a comparison or trial."""

    candidate: str
    seed: int
    figures: dict[str, float]
    """By the names MLflow keeps them under: `test_macro_f1`, `training_seconds`, `latency_ms_p50`, …"""
    run_id: str


@dataclass(frozen=True)
class Ranking:
    """A candidate over all its seeds."""

    candidate: str
    values: dict[int, float]
    """Seed → macro-F1 on the test part."""
    macro_f1: Interval | None
    """Mean over the seeds; None with fewer than two."""
    difference: Interval | None
    """Mean difference to the reference, seed by seed; None for the reference itself, or with fewer than two pairs."""
    seconds: float
    """Median training time in seconds on this machine, as busy as it was."""
    cost: float | None
    """Median over the seeds of this candidate's training time by the reference's with the same seed."""
    milliseconds: float
    """Median latency of a single text in ms."""
    texts_per_second: float | None = None
    """Median throughput in batches; None for trials of comparisons that did not measure it."""

    @property
    def verdict(self) -> str:
        """What the interval of the difference says."""
        if self.difference is None:
            return ""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "unclear"

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can write it."""
        return {**asdict(self), "verdict": self.verdict}


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean with Student's interval, which holds for few values of about normal spread.

    Raises:
        ValueError: fewer than two values, which say nothing of their spread.
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError(f"an interval needs two values or more, not {len(values)}")
    mean = float(np.mean(values))
    half = float(t.ppf(0.5 + confidence / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return Interval(mean, mean - half, mean + half)


def rankings(
    trials: Sequence[Trial], candidates: Sequence[str], reference: str, confidence: float = 0.95
) -> list[Ranking]:
    """Every candidate that finished a trial, in the order given.

    The difference is paired by seed: the same seed gives the same order of texts and the same new head, so what these
    do to both candidates does not blur it. It speaks of seeds, not of texts: all are scored on the same test part.
    """
    by_name = {
        name: {trial.seed: trial.figures for trial in trials if trial.candidate == name}
        for name in candidates
    }
    return [
        _ranking(name, by_name[name], by_name[reference] if name != reference else {}, confidence)
        for name in candidates
        if by_name[name]
    ]


def _ranking(
    name: str,
    own: Mapping[int, Mapping[str, float]],
    reference: Mapping[int, Mapping[str, float]],
    confidence: float,
) -> Ranking:
    values = {seed: figures[FIGURE] for seed, figures in sorted(own.items())}
    paired = sorted(set(own) & set(reference))
    differences = [own[seed][FIGURE] - reference[seed][FIGURE] for seed in paired]
    rates = [figures["texts_per_second"] for figures in own.values() if "texts_per_second" in figures]
    ratios = [own[seed]["training_seconds"] / reference[seed]["training_seconds"] for seed in paired]
    return Ranking(
        candidate=name,
        values=values,
        macro_f1=t_interval(list(values.values()), confidence) if len(values) > 1 else None,
        difference=t_interval(differences, confidence) if len(differences) > 1 else None,
        seconds=float(np.median([figures["training_seconds"] for figures in own.values()])),
        cost=float(np.median(ratios)) if ratios else None,
        milliseconds=float(np.median([figures["latency_ms_p50"] for figures in own.values()])),
        texts_per_second=float(np.median(rates)) if rates else None,
    )
