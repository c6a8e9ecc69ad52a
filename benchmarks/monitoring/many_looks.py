"""How many false alarms do months of checks over a rolling window raise, and how late are true ones?

`python -m benchmarks.monitoring.many_looks` simulates the answers of a classifier, checks them by the mix of answers as
`python -m monitoring watch` does, and prints a table: episodes in 182 days of unchanged traffic, of breaches and of
alarms, and the delay from a change to the first of each. Every 182 days have another reference. Nothing is read or
written.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import click
import numpy as np
import pandas as pd

from monitoring.alarm_levels import AlarmLevels
from monitoring.alarms import alarming, judge_alarms, levels_for
from monitoring.drift.compute import measure_drift
from monitoring.publishing import signals_of
from monitoring.rhythm import History, judge_rhythm
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Drift, Signal
from monitoring.window import Window
from stores.predictions import LabelledPrediction
from stores.predictions.checks import Check

DAY = 86400.0
HALF_YEAR = 182
CLASSES = ("a", "b", "c", "d")
Measure = Callable[[float, float, AlarmLevels, Sequence[Check]], Drift]
"""From the first and last moment of a window, the levels of the check and all checks before it to the drift of the
window, with evidence."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check of a schedule."""

    at: float
    """End of its window, in seconds from the beginning."""
    breach: bool
    alarm: bool
    by: tuple[str, ...] = ()
    """Signals that are an alarm."""


def checked(
    measure: Measure, *, first: float, last: float, every: float, width: float, settings: MonitoringSettings
) -> Iterator[Outcome]:
    """Check a rolling window from `first` to `last`, with the history that the checks before have left."""
    kept: list[Check] = []
    recent: deque[Check] = deque(maxlen=2 * round(width / every) + 2)
    for number in range(round((last - first) / every)):
        until = first + number * every
        since = until - width
        drift = measure(since, until, levels_for(since, until, recent, settings), kept)
        drift = judge_alarms(drift, since, until, recent)
        kept.append(Check(
            checked_at=until, since=since, until=until, model_name="", model_version="", status=drift.status,
            summary="", report="", signals=signals_of(drift), accuracy=None, labelled=0,
        ))  # fmt: skip
        recent.append(kept[-1])
        by = tuple(alarming(drift))
        yield Outcome(until, drift.status == "breach", bool(by), by)


def episodes(flags: Sequence[bool]) -> int:
    """How often a run of flags begins."""
    return sum(now and not before for before, now in zip([False, *flags], flags, strict=False))


def normal(
    days: float,
    rng: np.random.Generator,
    shift: Callable[[float], float] = lambda _: 0.0,
    *,
    every: float = 3600.0,
    width: float = DAY,
) -> Measure:
    """A standard normal figure of every window; two windows correlate by the share of their time in common.

    Args:
        days: how long it lasts.
        rng: of the figures.
        shift: seconds from the beginning → its mean once a whole window has it.
        every: seconds that have one draw.
        width: of a window, in seconds.
    """
    moments = every * np.arange(round(days * DAY / every))
    share = every / width
    draws = rng.normal(size=len(moments)) * np.sqrt(share) + [shift(at) * share for at in moments]
    total = np.concatenate([[0.0], np.cumsum(draws)])

    def measure(since: float, until: float, levels: AlarmLevels, _: Sequence[Check]) -> Drift:
        value = abs(float(total[round(until / every)] - total[round(since / every)]))
        p_value = 2 * NormalDist().cdf(-value)
        breach = p_value <= 0.01
        evidence = "at_once" if p_value <= levels.at_once else "if_repeated" if breach else "none"
        signal = Signal(
            name="figure", title="", measure="", status="breach" if breach else "ok", value=value,
            threshold=NormalDist().inv_cdf(0.995), floor=0.0, reference_texts=1, window_texts=1, words="",
            evidence=evidence,
        )  # fmt: skip
        return Drift(status="breach" if breach else "ok", alpha=0.01, signals=[signal])

    return measure


class Answers:
    """Simulated traffic: the labels of a classifier at a steady rate, with shares that follow the time.

    Args:
        reference: answers in the reference.
        window: answers in `width` seconds.
        shares: seconds from the beginning → shares of CLASSES.
        days: how long it lasts.
        width: of a window, in seconds.
        settings: of the checks.
        rng: of the answers and the permutations.
    """

    def __init__(
        self,
        *,
        reference: int,
        window: int,
        shares: Callable[[float], Sequence[float]],
        days: float,
        width: float,
        settings: MonitoringSettings,
        rng: np.random.Generator,
    ) -> None:
        labels = rng.choice(CLASSES, reference, p=shares(0.0))
        self.reference = pd.DataFrame({"text": "", "predicted": labels})
        self._settings, self._rng = settings, rng
        self._times = np.sort(rng.uniform(0, days * DAY, rng.poisson(window * days * DAY / width)))
        luck = rng.random(len(self._times))
        self._rows = [
            LabelledPrediction(
                text=str(number),
                label=CLASSES[int(np.searchsorted(np.cumsum(shares(at))[:-1], one))],
                score=1.0,
                scores={},
                tokens=1,
                truncated=False,
                model_name="",
                model_version="",
            )
            for number, (at, one) in enumerate(zip(self._times, luck, strict=True))
        ]

    def read(self, since: float, until: float, size: int) -> list[LabelledPrediction]:
        """The answers with `since` <= time < `until`, or `size` of them, evenly."""
        first, last = np.searchsorted(self._times, [since, until])
        rows = self._rows[first:last]
        return [rows[place] for place in np.linspace(0, len(rows) - 1, min(size, len(rows))).astype(int)]

    def measure(self, since: float, until: float, levels: AlarmLevels, before: Sequence[Check]) -> Drift:
        """Judge the mix of answers of a window; it gets the whole alpha."""
        rows = self.read(since, until, len(self._rows))
        window = Window(since, until, len(rows), 0, len(rows), rows, rows, [])
        drift, _ = measure_drift(
            self.reference, window, self._settings, self._rng, levels=levels, only=["predicted_label"]
        )
        history = History(self.read, float(self._times[0]), lambda: before)
        return judge_rhythm(drift, window, self.reference, history, self._settings, self._rng, levels)


def quiet(_: float) -> Sequence[float]:
    """Four equal classes."""
    return (0.25, 0.25, 0.25, 0.25)


def step(share: float, at: float) -> Callable[[float], Sequence[float]]:
    """The first class has another share from a moment on; the others keep their proportions."""
    return lambda now: quiet(now) if now < at else (share, *[(1 - share) / 3] * 3)


def is_weekend(at: float) -> bool:
    """Whether it is the sixth or the seventh day of a week."""
    return int(at // DAY) % 7 >= 5


def weekends(at: float) -> Sequence[float]:
    """The first class has 45 % on weekends."""
    return (0.45, *[0.55 / 3] * 3) if is_weekend(at) else quiet(at)


def changed_weekends(at: float) -> Sequence[float]:
    """The same, and from the fifth weekend on the second class has 40 % there, too."""
    return (0.45, 0.40, 0.075, 0.075) if is_weekend(at) and at >= 28 * DAY else weekends(at)


def of_week(outcomes: Sequence[Outcome], week: int) -> list[Outcome]:
    """Checks from the first window that holds nothing of the weekend before."""
    return [outcome for outcome in outcomes if 1 <= outcome.at / DAY - 7 * week < 8]


def delays(outcomes: Sequence[Outcome], changed: float) -> tuple[float, float]:
    """Seconds from a change to the first breach and to the first alarm; infinite where there is none."""
    after = [outcome for outcome in outcomes if outcome.at > changed]
    return (
        next((outcome.at - changed for outcome in after if outcome.breach), np.inf),
        next((outcome.at - changed for outcome in after if outcome.alarm), np.inf),
    )


@click.command()
@click.option("--reference", default=2674, show_default=True, help="Answers in the reference.")
@click.option("--windows", default="200,1000", show_default=True, help="Answers in 24 hours.")
@click.option("--every", default=3600.0, show_default=True, help="Seconds from one check to the next.")
@click.option("--half-years", default=20, show_default=True, help="Times 182 days of unchanged traffic.")
@click.option("--changes", default="0.60,0.40,0.33", show_default=True, help="Shares that 25 % change to.")
@click.option("--trials", default=40, show_default=True, help="Changes of each size.")
@click.option("--weeks", default=20, show_default=True, help="Times six weeks with other weekends.")
@click.option("--normal", "normals", default=20, show_default=True, help="Times 182 days of a normal figure.")
@click.option("--seed", default=1, show_default=True)
def main(
    reference: int,
    windows: str,
    every: float,
    half_years: int,
    changes: str,
    trials: int,
    weeks: int,
    normals: int,
    seed: int,
) -> None:
    """Measure false episodes of quiet traffic, and delays of true alarms."""
    settings = MonitoringSettings(monitoring_permutations=1999)
    rng = np.random.default_rng(seed)

    def run(window: int, shares: Callable[[float], Sequence[float]], days: float) -> list[Outcome]:
        traffic = Answers(
            reference=reference,
            window=window,
            shares=shares,
            days=days,
            width=DAY,
            settings=settings,
            rng=rng,
        )
        return list(
            checked(traffic.measure, first=DAY, last=days * DAY, every=every, width=DAY, settings=settings)
        )

    counted = []
    for _ in range(normals):
        measure = normal(HALF_YEAR, rng, every=every)
        outcomes = list(
            checked(measure, first=DAY, last=HALF_YEAR * DAY, every=every, width=DAY, settings=settings)
        )
        counted.append([episodes([o.breach for o in outcomes]), episodes([o.alarm for o in outcomes])])
    if counted:
        breaches, alarms = np.mean(counted, axis=0)
        print(
            f"normal figure, every {every:.0f} s, {normals} half-years: episodes of breaches {breaches:.1f}, "
            f"of alarms {alarms:.2f}",
            flush=True,
        )
    for window in map(int, filter(None, windows.split(","))):
        counts = []
        for _ in range(half_years):
            outcomes = run(window, quiet, HALF_YEAR)
            counts.append([episodes([o.breach for o in outcomes]), episodes([o.alarm for o in outcomes])])
        if counts:
            breaches, alarms = np.array(counts).T
            print(
                f"reference {reference}, {window} a day, every {every:.0f} s, {half_years} half-years: episodes of "
                f"breaches {breaches.mean():.1f}, of alarms {alarms.mean():.2f} ± "
                f"{alarms.std() / np.sqrt(half_years):.2f}; counts {sorted(alarms.tolist(), reverse=True)}",
                flush=True,
            )
        for share in map(float, filter(None, changes.split(","))):
            found = [delays(run(window, step(share, 4 * DAY), 9), 4 * DAY) for _ in range(trials)]
            texts = []
            for name, hours in zip(("breach", "alarm"), np.array(found).T / 3600, strict=True):
                within = " ".join(f"{(hours <= limit).mean():.0%}/{limit}h" for limit in (24, 48, 120))
                texts.append(f"{name} median {np.median(hours):.1f} h ({within})")
            print(f"  {window} a day, 25 % -> {share:.0%}: {'; '.join(texts)}", flush=True)
        for name, shares in (("weekends", weekends), ("changed weekends", changed_weekends)):
            alarmed = [
                [any(outcome.alarm for outcome in of_week(outcomes, week)) for week in range(6)]
                for outcomes in (run(window, shares, 7 * 6 + 1) for _ in range(weeks))
            ]
            if alarmed:
                by_week = " ".join(map(str, np.sum(alarmed, axis=0)))
                print(
                    f"  {window} a day, {name}: weeks with an alarm, of {weeks}, by week: {by_week}",
                    flush=True,
                )


if __name__ == "__main__":
    sys.exit(main())
