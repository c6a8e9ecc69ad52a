"""How many false alarms do all drift signals together raise in half a year of unchanged traffic of real texts?

`python -m benchmarks.monitoring.all_signals TEXTS.jsonl` divides texts that the served model did not learn from (its
reference and TEXTS) anew for each half-year: into a reference, and a stream from which each day takes others until all
have been sent. Windows of 24 hours are checked by the code of `python -m monitoring check`, with all signals but the
latency, the weekly rhythm and the alarm rules. Nothing is read or written but the model and its reference.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from stores.telemetry import turn_telemetry_off

turn_telemetry_off()

from benchmarks.monitoring.alarm_rate import answers, read_texts  # noqa: E402  after the switches
from benchmarks.monitoring.many_looks import DAY, HALF_YEAR, Outcome, checked, delays, episodes  # noqa: E402
from classifier import Classifier  # noqa: E402
from monitoring.alarm_levels import AlarmLevels  # noqa: E402
from monitoring.champion import find_champion  # noqa: E402
from monitoring.drift.compute import measure_drift  # noqa: E402
from monitoring.live_profile import live_profile  # noqa: E402
from monitoring.rhythm import History, judge_rhythm  # noqa: E402
from monitoring.settings import MonitoringSettings  # noqa: E402
from monitoring.verdict import Drift  # noqa: E402
from monitoring.window import Window  # noqa: E402
from stores.predictions import LabelledPrediction  # noqa: E402
from stores.predictions.checks import Check  # noqa: E402
from stores.registry import ModelRegistry  # noqa: E402
from stores.settings import SigningSettings, TrackingSettings  # noqa: E402


class Traffic:
    """Answers at a steady rate, drawn from a pool of real texts; each is sent again only when all have been.

    Args:
        reference: answers that make the reference.
        pool: answers that are sent.
        columns: a reference profile of the model.
        changed: answers that are sent in the place of others from `change_at` on.
        change_at: seconds from the beginning.
        share: of the answers from then on that are changed ones.
        rate: answers a day.
        days: how long it lasts.
        settings: of the checks.
        rng: of the order and the permutations.
    """

    def __init__(
        self,
        reference: Sequence[LabelledPrediction],
        pool: Sequence[LabelledPrediction],
        *,
        columns: pd.DataFrame,
        changed: Sequence[LabelledPrediction] = (),
        change_at: float = np.inf,
        share: float = 0.0,
        rate: int,
        days: float,
        settings: MonitoringSettings,
        rng: np.random.Generator,
    ) -> None:
        self.reference = live_profile(reference, columns, with_text=True)
        self._known = set(self.reference["text"])
        self._settings, self._rng = settings, rng
        count = rng.poisson(rate * days)
        self._times = np.sort(rng.uniform(0, days * DAY, count))
        self._rows = [pool[place] for place in _in_turns(len(pool), count, rng)]
        if changed:
            others = _in_turns(len(changed), count, rng)
            for place in np.flatnonzero((self._times >= change_at) & (rng.random(count) < share)):
                self._rows[place] = changed[others[place]]

    def read(self, since: float, until: float, size: int) -> list[LabelledPrediction]:
        """The answers with `since` <= time < `until`, each text once, or `size` of them, evenly."""
        first, last = np.searchsorted(self._times, [since, until])
        rows = list({row.text: row for row in self._rows[first:last]}.values())
        return [rows[place] for place in np.linspace(0, len(rows) - 1, min(size, len(rows))).astype(int)]

    def measure(self, since: float, until: float, levels: AlarmLevels, before: Sequence[Check]) -> Drift:
        """Judge a window by all signals, as a check does."""
        rows = self.read(since, until, len(self._rows))
        novel = [row for row in rows if row.text not in self._known]
        window = Window(since, until, len(rows), 0, len(rows), rows, novel, [])
        drift, _ = measure_drift(self.reference, window, self._settings, self._rng, levels=levels)
        history = History(self.read, float(self._times[0]), lambda: before)
        return judge_rhythm(drift, window, self.reference, history, self._settings, self._rng, levels)


def _in_turns(size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` places of a pool, all of them in a new order before any comes again."""
    rounds = -(-count // size)
    return np.concatenate([rng.permutation(size) for _ in range(rounds)])[:count]


def poisson_interval(count: int, times: int) -> tuple[float, float]:
    """The exact 95 % interval (Garwood 1936) of an expected count, of which `count` came in `times` times."""
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low / times), float(chi2.ppf(0.975, 2 * count + 2) / 2 / times)


@click.command()
@click.argument("texts", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--reference", default=2000, show_default=True, help="Texts in the reference.")
@click.option("--rate", default=200, show_default=True, help="Texts a day.")
@click.option("--every", default=21600.0, show_default=True, help="Seconds from one check to the next.")
@click.option("--half-years", default=6, show_default=True, help="Times 182 days of unchanged traffic.")
@click.option(
    "--changes", default="0.60,0.40", show_default=True, help="Shares that the first class changes to."
)
@click.option("--trials", default=20, show_default=True, help="Changes of each size.")
@click.option("--permutations", default=1999, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(
    texts: Path,
    reference: int,
    rate: int,
    every: float,
    half_years: int,
    changes: str,
    trials: int,
    permutations: int,
    seed: int,
) -> None:
    """Measure false episodes over all signals, and delays of true alarms.

    TEXTS is a JSONL file with `text`, of texts from the source of the reference that the served model never saw.
    """
    settings = MonitoringSettings(monitoring_permutations=permutations)
    tracking = TrackingSettings()
    champion = find_champion(ModelRegistry(tracking), tracking, SigningSettings())
    classifier = Classifier.load(champion.folder)
    every_text = dict.fromkeys([*champion.reference["text"], *read_texts(texts)["text"]])
    rows = answers(classifier, list(every_text))
    rng = np.random.default_rng(seed)

    def divided() -> tuple[list[LabelledPrediction], list[LabelledPrediction]]:
        order = [rows[place] for place in rng.permutation(len(rows))]
        return order[:reference], order[reference:]

    def run(traffic: Traffic, days: float) -> list[Outcome]:
        times = {"first": DAY, "last": days * DAY, "every": every, "width": DAY}
        return list(checked(traffic.measure, settings=settings, **times))

    print(f"{champion.title}: {reference} of {len(rows)} texts are the reference, {rate} a day", flush=True)
    found, breaches, by = [], [], Counter[str]()
    for number in range(half_years):
        own, pool = divided()
        traffic = Traffic(
            own, pool, columns=champion.reference, rate=rate, days=HALF_YEAR, settings=settings, rng=rng
        )
        outcomes = run(traffic, HALF_YEAR)
        found.append(episodes([outcome.alarm for outcome in outcomes]))
        breaches.append(episodes([outcome.breach for outcome in outcomes]))
        by.update({name for outcome in outcomes for name in outcome.by})
        low, high = poisson_interval(sum(found), len(found))
        print(
            f"every {every:.0f} s, {number + 1} half-years: episodes of breaches {np.mean(breaches):.1f}, of alarms "
            f"{np.mean(found):.2f} ({low:.2f} to {high:.2f}), each {found}; half-years with an alarm by {dict(by)}",
            flush=True,
        )
    for share in map(float, filter(None, changes.split(","))):
        hours = []
        for _ in range(trials):
            own, pool = divided()
            labels = Counter(row.label for row in pool)
            label, usual = min(labels), labels[min(labels)] / len(pool)
            traffic = Traffic(
                own, pool, columns=champion.reference, changed=[row for row in pool if row.label == label],
                change_at=4 * DAY, share=(share - usual) / (1 - usual), rate=rate, days=9, settings=settings, rng=rng,
            )  # fmt: skip
            hours.append(delays(run(traffic, 9), 4 * DAY))
        for name, waited in zip(("breach", "alarm"), np.array(hours).T / 3600, strict=True):
            within = ", ".join(f"{(waited <= limit).mean():.0%} in {limit} h" for limit in (24, 48, 120))
            print(
                f"{label} to {share:.0%}: {name} after {np.median(waited):.1f} h in the median ({within})",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
