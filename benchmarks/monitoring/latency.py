"""How often does the latency signal alarm? On made-up days that are alike it should not; on slow ones it should.

`python -m benchmarks.monitoring.latency` makes up eight days of a service whose latency follows the clock (three
times as long at noon as at night), wanders (the logarithm is an autoregressive process of order 1, by the minute),
differs from day to day, and scatters; then it makes the last day slow in known ways. A day counts as flagged as in a
check where every other signal is quiet: its p-value is at most alpha divided by the number of signals, and its size
at least the floor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click
import numpy as np
from scipy.signal import lfilter

from monitoring.drift.latency import ServiceLatency, ServiceLatencySettings, latency_floor, latency_score
from monitoring.drift.permutation import Floats
from monitoring.settings import MonitoringSettings
from monitoring.window import Latencies

_MINUTES = 1440
_DAYS_BEFORE = 7
_USUAL = 0.03
"""Seconds of a middling answer."""
_RHYTHM = 0.55
"""Of the logarithm: e^(2 · 0.55) is 3."""
_WANDERING = 0.3
"""Standard deviation of the wandering logarithm."""
MEMORY = 0.95
"""Its correlation from one minute to the next."""
_OF_THE_DAY, _SCATTER = 0.1, 0.4
"""Standard deviations of the logarithm between days, and between answers of one minute."""

Slow = Callable[[Floats, np.random.Generator], Floats]
"""Hours of the day of answers → by how much each takes longer."""

WAYS: Mapping[str, Slow] = {
    "like the days before": lambda hours, _: np.ones(len(hours)),
    "one minute 50 times as long": lambda hours, _: np.where((hours >= 12) & (hours < 12 + 1 / 60), 50.0, 1.0),
    "one hour 5 times as long": lambda hours, _: np.where((hours >= 12) & (hours < 13), 5.0, 1.0),
    "half as long": lambda hours, _: np.full(len(hours), 0.5),
    "twice as long": lambda hours, _: np.full(len(hours), 2.0),
    "a third of the answers 3 times as long": lambda hours, luck: np.where(luck.random(len(hours)) < 1 / 3, 3.0, 1.0),
    "eight hours 4 times as long": lambda hours, _: np.where((hours >= 8) & (hours < 16), 4.0, 1.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to be slow, tried so often."""

    way: str
    answers: int
    days: int
    flagged: int


def simulated_days(
    answers: int, slow: Slow, rng: np.random.Generator, *, memory: float = MEMORY
) -> Latencies:
    """Eight days of so many answers each, at random moments; the last of them is slow in that way."""
    days = []
    for back in range(1 + _DAYS_BEFORE):
        noise = rng.normal(0, _WANDERING * np.sqrt(1 - memory**2), size=2 * _MINUTES)
        wandering = lfilter([1.0], [1.0, -memory], noise)[_MINUTES:]
        minutes = rng.uniform(0, _MINUTES, answers)
        logs = (
            _RHYTHM * np.sin(2 * np.pi * (minutes / _MINUTES - 0.25))
            + wandering[minutes.astype(int)]
            + rng.normal(0, _OF_THE_DAY)
            + rng.normal(0, _SCATTER, answers)
        )
        took = _USUAL * np.exp(logs) * (slow(minutes / 60, rng) if back == 0 else 1.0)
        days.append(list(zip(60 * minutes, took, strict=True)))
    return Latencies.of(days, 60.0 * _MINUTES)


def run_trial(
    way: str, *, answers: int, days: int, settings: MonitoringSettings, seed: int = 1, memory: float = MEMORY
) -> Trial:
    """Judge so many last days of one way to be slow."""
    flagged, floors = 0, ServiceLatencySettings()
    for number in range(days):
        found = simulated_days(
            answers, WAYS[way], np.random.default_rng([seed, answers, number]), memory=memory
        )
        floor = latency_floor(found, floors.monitoring_min_latency_ratio, floors.monitoring_min_latency_rise)
        score = latency_score(found, settings.monitoring_permutations, np.random.default_rng(number))
        level = settings.monitoring_alpha * (ServiceLatency.alpha_share or 0.0)
        flagged += score.p_value <= level and score.value >= floor
    return Trial(way, answers, days, flagged)


@click.command()
@click.option("--answers", default="60,500", show_default=True, help="Answers a day, several sizes.")
@click.option("--days", default=200, show_default=True, help="Days that are judged, of each way and size.")
@click.option(
    "--memory", default=MEMORY, show_default=True, help="Correlation from one minute to the next, 0 to 1."
)
@click.option("--seed", default=1, show_default=True)
def main(answers: str, days: int, memory: float, seed: int) -> None:
    """Measure false and true alarms of the latency signal on made-up days."""
    settings = MonitoringSettings()
    print("| the last day | answers a day | days flagged |\n|---|---|---|", flush=True)
    for way in WAYS:
        for size in map(int, answers.split(",")):
            trial = run_trial(way, answers=size, days=days, settings=settings, seed=seed, memory=memory)
            print(f"| {trial.way} | {trial.answers} | {trial.flagged} of {trial.days} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
