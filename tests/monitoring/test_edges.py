"""What a store may hold that nobody planned for: each gets a right answer, or a plain word."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from monitoring.verdict import Verdict
from stores.predictions import PredictionStore
from stores.predictions.checks import CheckLog
from tests.monitoring.conftest import NOW, House, normal
from tests.support.bundles import bbc_part
from tests.support.predictions import prediction

HOUR = 3600.0


def statuses(verdict: Verdict) -> dict[str, str]:
    return {signal.name: signal.status for signal in verdict.drift.signals}


def test_empty_texts_are_one_text_and_stop_nothing(house: House) -> None:
    texts = normal(100)[0]
    house.answer([*texts, *[""] * 200, " ", "\n\t"])
    verdict = house.check().verdict
    assert verdict.window.predictions == 302
    assert verdict.window.distinct_texts == len(set(texts)) + 3
    assert set(statuses(verdict).values()) == {"ok", "insufficient_data"}
    assert statuses(verdict)["service_latency"] == "insufficient_data", "nobody measured it here"
    assert list(statuses(verdict).values()).count("ok") == 12


def test_nothing_but_empty_texts_is_too_little_data(house: House) -> None:
    house.answer([""] * 80)
    verdict = house.verdict()
    assert verdict.status == "insufficient_data"
    assert "1 different texts" in verdict.summary


def test_a_class_that_the_reference_lacks_is_compared(house: House) -> None:
    house.answer(normal(100)[0])
    name, version = house.champion.name, house.champion.version
    house.store.add(
        [
            prediction(
                f"Rain in the north, dry in the south, {degrees} degrees.", label="weather", created_at=NOW - 60,
                model_name=name, model_version=version,
            )
            for degrees in range(40)
        ]
    )  # fmt: skip
    verdict = house.check().verdict
    assert statuses(verdict)["predicted_label"] == "breach"
    assert any("weather went from 0% to 29% of answers" in reason for reason in verdict.reasons)


def test_all_labels_of_one_class_leave_the_others_unjudged(house: House) -> None:
    texts, labels = normal(200)
    chosen = [(t, label) for t, label in zip(texts, labels, strict=True) if label == "sports"]
    assert len(chosen) >= 30
    house.answer([t for t, _ in chosen], labels=[label for _, label in chosen])
    house.answer([t for t, label in zip(texts, labels, strict=True) if label != "sports"])
    verdict = house.verdict()
    assert verdict.accuracy.status == "ok"
    judged = {score.label: score.status for score in verdict.accuracy.classes if score.labelled}
    assert judged == {"sports": "ok"}


def test_no_labels_at_all_leave_drift_to_be_judged(house: House) -> None:
    house.answer(normal(100)[0])
    verdict = house.verdict()
    assert (verdict.status, verdict.accuracy.status) == ("ok", "insufficient_data")
    assert "0 of 100 predictions have a label" in verdict.summary
    assert verdict.accuracy.expected_accuracy is not None


def test_a_new_champion_is_not_judged_by_its_predecessor(house: House) -> None:
    texts = normal(160)[0]
    house.answer(texts[:150], at=NOW - 1800, version="41")
    house.answer(texts[150:], at=NOW - 60)
    verdict = house.verdict()
    assert verdict.status == "insufficient_data"
    assert verdict.exit_code == 0
    assert "10 different texts were answered by" in verdict.summary
    assert any("150 predictions of other versions" in note for note in verdict.notes)


def test_predictions_from_a_clock_that_runs_ahead_are_counted(house: House) -> None:
    texts = normal(120)[0]
    house.answer(texts[:100])
    house.answer(texts[100:], at=time.time() + 5 * HOUR)
    verdict = house.verdict()
    assert verdict.status == "ok"
    assert verdict.window.predictions == 100
    assert any("20 predictions are dated in the future" in note for note in verdict.notes)


def test_labels_from_a_clock_set_back_are_counted_and_doubted(house: House) -> None:
    texts, labels = normal(100)
    ids = house.answer(texts)
    house.store.add_feedback(dict(zip(ids, labels, strict=True)), at=NOW - 10 * HOUR)
    verdict = house.verdict()
    assert verdict.accuracy.labelled == 100
    assert verdict.accuracy.status == "ok"
    assert any("dated before the predictions" in note for note in verdict.notes)


def test_a_channel_claimed_before_a_clock_set_back_is_free(tmp_path: Path) -> None:
    store = PredictionStore.open(f"sqlite:///{tmp_path / 'predictions.db'}")
    log = CheckLog(store)
    assert log.claim_channel("news", "mail", now=10 * HOUR, lease=60) is not None
    assert log.claim_channel("news", "mail", now=10 * HOUR + 30, lease=60) is None, "another one sends"
    assert log.claim_channel("news", "mail", now=5 * HOUR, lease=60) is not None
    store.close()


def test_a_store_that_is_being_written_is_read_as_one(house: House) -> None:
    texts, labels = bbc_part(2)
    order = random.Random(1).sample(range(len(texts)), len(texts))
    ids = house.answer([texts[i] for i in order[:200]], labels=[labels[i] for i in order[:200]])
    began, stop, wrong = threading.Event(), threading.Event(), []

    def serve() -> None:
        at = 0
        while not stop.wait(0.01):
            try:
                chosen = [order[200 + (at + step) % 200] for step in range(4)]
                made = house.answer([texts[i] for i in chosen], labels=[labels[i] for i in chosen])
                house.store.add_feedback(dict.fromkeys([ids[at % 100], made[0]], "sports"), at=NOW)
            except Exception as error:
                wrong.append(error)
            began.set()
            at += 4

    writer = threading.Thread(target=serve)
    writer.start()
    try:
        assert began.wait(60)
        verdict = house.verdict()
    finally:
        stop.set()
        writer.join()
    assert wrong == []
    assert verdict.drift.status == "ok"
    assert 200 < verdict.window.sampled <= verdict.window.predictions
    assert verdict.accuracy.labelled <= verdict.window.predictions
    assert house.store.count(NOW - HOUR, NOW) > verdict.window.predictions, "nothing was written meanwhile"
