"""Service latency as a signal: slower alarms, faster does not, and no training is begun because of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.monitoring.latency import WAYS, run_trial, simulated_days
from monitoring.champion import find_champion
from monitoring.drift.compute import shares_of_alpha
from monitoring.drift.latency import latency_floor, latency_score
from monitoring.drift.permutation import Score, holm
from monitoring.drift.signal import signals
from monitoring.retraining import retrain
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Signal, Verdict
from monitoring.window import Latencies, read_latencies
from stores.predictions.checks import CheckLog
from stores.settings import SigningSettings
from tests.monitoring.conftest import NOW, WINDOW, House, normal
from tests.support.predictions import prediction

DAY, HOUR = 86400.0, 3600.0
SETTINGS = MonitoringSettings(monitoring_permutations=1999)


def score(way: str, answers: int = 200, seed: int = 3) -> Score:
    found = simulated_days(answers, WAYS[way], np.random.default_rng(seed))
    return latency_score(found, 1999, np.random.default_rng(1))


def latency_of(verdict: Verdict) -> Signal:
    return next(signal for signal in verdict.drift.signals if signal.name == "service_latency")


def serve(
    house: House, took: Callable[[int], float | None], *, days: int = 4, count: int = 96, shift: float = 0.0
) -> None:
    """Answers evenly over the hour of the window, and `shift` seconds before it, today and on the days before.

    `took` says of each day how many seconds its answers took: 0 is today, 1 yesterday.
    """
    model = {"model_name": house.champion.name, "model_version": house.champion.version}
    house.store.add(
        [
            prediction(
                created_at=WINDOW[0] + HOUR * (number + 0.5) / count - back * DAY - shift,
                seconds=None if (seconds := took(back)) is None else seconds * (1 + 0.3 * (number % 7)),
                **model,
            )
            for back in range(days)
            for number in range(count)
        ]
    )


def test_a_slower_day_is_sure_and_a_quicker_one_is_no_alarm() -> None:
    slow, quick = score("twice as long"), score("half as long")
    assert slow.p_value <= 0.01 / 12
    assert slow.value == pytest.approx(2, rel=0.25)
    assert quick.value < 1
    assert quick.p_value > 0.5


def test_it_is_the_slowest_tenth_that_is_compared() -> None:
    before, now = [(60.0 * n, 1.0 + n) for n in range(20)], [(60.0 * n, 3.0 + 3 * n) for n in range(20)]
    found = Latencies.of([now, before, before], DAY)
    assert latency_score(found, 99, np.random.default_rng(1)).value == pytest.approx(3.0)
    assert found.now.tolist() == [3.0 + 3 * n for n in range(20)]
    assert len(found.before) == 40


def test_one_slow_hour_however_busy_is_no_proof() -> None:
    assert score("one hour 5 times as long").p_value > 0.01
    busy = [(60.0 * n, 0.1) for n in range(0, 1440, 30)]
    burst = [*busy, *[(12.5 * HOUR, 9.0)] * 400]
    found = Latencies.of([burst, *[busy] * 7], DAY)
    result = latency_score(found, 1999, np.random.default_rng(1))
    assert result.value == pytest.approx(90), "most of the day's answers are from that minute"
    assert result.p_value > 0.05, "chance puts its hour into every eighth window"


def test_days_that_are_alike_hardly_ever_alarm_and_slow_ones_do() -> None:
    quiet, quick, slow = (
        run_trial(way, answers=200, days=12, settings=SETTINGS).flagged
        for way in ("like the days before", "half as long", "eight hours 4 times as long")
    )
    assert quiet <= 1
    assert quick == 0
    assert slow >= 9


def test_a_ratio_of_small_latencies_needs_a_noticeable_rise() -> None:
    quick = Latencies.of([[(0.0, 0.002)], [(0.0, 0.002)]], DAY)
    assert latency_floor(quick, ratio=1.5, rise=0.01) == pytest.approx(6)
    slow = Latencies.of([[(0.0, 0.2)], [(0.0, 0.2)]], DAY)
    assert latency_floor(slow, ratio=1.5, rise=0.01) == 1.5
    assert latency_floor(Latencies.of([[(0.0, 0.2)], []], DAY), ratio=1.5, rise=0.01) == 1.5


def test_the_same_time_of_day_is_compared_and_nothing_else(house: House) -> None:
    champion = find_champion(house.registry, house.tracking, SigningSettings())
    serve(house, lambda back: 0.1 if back else 0.2, days=10)
    serve(house, lambda _: 99.0, shift=6 * HOUR)  # another time of the day
    serve(house, lambda back: 0.1 if back else None)  # of which nobody knows how long it took
    model = {"model_name": house.champion.name, "created_at": NOW - DAY - 60, "seconds": 99.0}
    version = champion.model.version
    house.store.add([prediction(model_version="41", **model)])
    house.store.add([prediction(source="test", model_version=version, **model)])
    found = read_latencies(house.store, champion, *WINDOW, max_answers=1000)
    assert sorted(set(found.back.tolist())) == list(range(8)), "the week before"
    assert (len(found.now), len(found.before)) == (96, 7 * 96 + 3 * 96)
    assert found.seconds.max() < 1
    assert sorted(set(found.slice.tolist())) == list(range(24))
    few = read_latencies(house.store, champion, *WINDOW, max_answers=50)
    assert (len(few.now), len(few.before)) == (50, 350)
    long = read_latencies(house.store, champion, NOW - 2.5 * DAY, NOW, max_answers=1000)
    assert sorted(set(long.back.tolist())) == [0, 1, 2], "windows of two days and a half, three days apart"


def test_a_slow_service_alarms_with_advice_and_no_retraining(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAR_DIR", str(house.var))
    house.answer(normal(100)[0])
    serve(house, lambda back: 0.1 if back else 0.3)
    checked = house.check()
    verdict, signal = checked.verdict, latency_of(checked.verdict)
    assert verdict.exit_code == 1
    assert signal.status == "breach"
    assert (signal.value, signal.floor) == (pytest.approx(3.0), 1.5)
    assert [s.status for s in verdict.drift.signals if s.name != "service_latency"] == ["ok"] * 12
    assert "The service has become slower: the 90th percentile of latency was" in verdict.summary
    assert "looks like its reference" in verdict.summary
    assert verdict.reasons[0].startswith("Service latency: the 90th percentile")
    page = checked.report.read_text(encoding="utf-8")
    assert "<h1>The service has become slower</h1>" in page
    assert "Distribution of service latency" in page
    assert "champion_stage_seconds" in page
    assert "Service latency: how far it moved" in (checked.folder / "evidently.html").read_text(
        encoding="utf-8"
    )
    status = f'signal="service_latency",version="{house.champion.version}"}} 1.0'
    assert status in (checked.folder / "monitoring.prom").read_text(encoding="utf-8")
    (kept,) = CheckLog(house.store).last(1, house.champion.name)
    assert kept.latency_only is True
    said: list[str] = []
    settings = MonitoringSettings(
        var_dir=house.var, retrain_windows=1, retrain_breaches=1, retrain_min_labels=1
    )
    assert retrain(checked, settings, said.append).status is None
    assert said == ["Not retrained: only the service's latency is in breach, which no training changes."]


def test_a_service_as_quick_as_ever_or_quicker_is_no_alarm(house: House) -> None:
    house.answer(normal(100)[0])
    serve(house, lambda back: 0.1 if back else 0.03)
    verdict = house.verdict()
    assert verdict.status == "ok"
    assert latency_of(verdict).status == "ok"
    assert latency_of(verdict).value == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("took", "said"),
    [
        (lambda back: 9.0 if back == 0 else None, "of 96 answers of the window and of 0 of the same version"),
        (
            lambda back: None if back == 0 else 0.1,
            "of 0 answers of the window and of 288 of the same version",
        ),
        (lambda _: None, "of 0 answers of the window and of 0 of the same version"),
    ],
)
def test_missing_times_leave_out_this_signal_alone(
    house: House, took: Callable[[int], float | None], said: str
) -> None:
    house.answer(normal(60)[0])
    serve(house, took)
    verdict = house.verdict()
    signal = latency_of(verdict)
    assert verdict.status == "ok"
    assert (signal.status, signal.p_adjusted) == ("insufficient_data", None)
    assert said in signal.words
    others = [s for s in verdict.drift.signals if s.p_value is not None]
    shares = shares_of_alpha([signals()[s.name]() for s in others])
    corrected, _ = holm([s.p_value for s in others if s.p_value is not None], 0.01, shares)
    assert [s.p_adjusted for s in others] == pytest.approx(corrected), "it is not corrected for"


def test_slow_service_breaches_with_too_few_texts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(house, lambda back: 0.1 if back else 0.3)
    checked = house.check()
    assert checked.verdict.status == "breach"
    assert "Too little data: 1 different texts" in checked.verdict.summary
    assert not (checked.folder / "evidently.html").exists()
    monkeypatch.setenv("MONITORING_MIN_LATENCY_RATIO", "5.0")
    quiet = house.verdict()
    assert quiet.status == "insufficient_data"
