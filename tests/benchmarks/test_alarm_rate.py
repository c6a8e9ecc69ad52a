"""The measured promise, in small: quiet on its own source, an alarm on traffic that changed."""

from __future__ import annotations

import pytest

from benchmarks.monitoring.alarm_rate import Trial, as_row, run_trial, scenarios
from monitoring.champion import find_champion
from monitoring.settings import MonitoringSettings
from stores.settings import SigningSettings
from tests.monitoring.conftest import House
from tests.support.bundles import bbc_part

SETTINGS = MonitoringSettings(monitoring_permutations=1999)
GERMAN = [
    f"Der Minister sagte am Montag, dass die {thing} im nächsten Jahr um {percent} Prozent steigen werde."
    for thing in ("Steuer", "Miete", "Rente", "Zahl der Schüler")
    for percent in range(1, 6)
]


@pytest.fixture
def flagged(house: House):  # type: ignore[no-untyped-def]
    texts, labels = bbc_part(3)
    champion = find_champion(house.registry, house.tracking, SigningSettings())
    known = set(champion.reference["text"])
    rows = {t: label for t, label in zip(texts, labels, strict=True) if t not in known}
    ways = scenarios(list(rows), list(rows.values()), foreign=GERMAN)

    def judge(scenario: str, windows: int) -> Trial:
        return run_trial(
            champion,
            house.classifier,
            ways[scenario],
            scenario,
            size=100,
            windows=windows,
            settings=SETTINGS,
            seed=1,
        )

    return judge


def test_windows_of_the_same_source_are_quiet(flagged) -> None:  # type: ignore[no-untyped-def]
    trial = flagged("like the reference", 12)
    # At 1 % a window, two of twelve are a one-in-a-hundred-and-fifty accident.
    assert trial.flagged <= 1


@pytest.mark.parametrize(
    ("scenario", "signal"),
    [
        ("one topic 60 %", "predicted_label"),
        ("15 % of letters mistyped", "unseen_words"),
        ("5 % of letters mistyped", "unseen_words"),
        ("lower-cased headlines", "capitals"),
        ("an unknown language in a fifth", "unseen_words"),
        ("another language in a fifth", "language"),
    ],
)
def test_each_drift_is_found_by_its_signal(flagged, scenario: str, signal: str) -> None:  # type: ignore[no-untyped-def]
    trial = flagged(scenario, 2)
    assert trial.flagged == 2
    assert trial.signals[signal] == 2
    assert as_row(trial).startswith(f"| {scenario} | 100 | 2 of 2 |")
