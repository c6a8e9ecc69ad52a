"""Why it moved: topics, classes and the windows before, from values whose answer is known."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import numpy as np
import pytest

from monitoring.drift.permutation import Floats
from monitoring.report.evidently import write_evidently_page
from monitoring.report.history_plot import signals_over_time_picture
from monitoring.report.segments import affected_classes, changed_topics, changed_words
from monitoring.verdict import Accuracy, Drift, Signal
from stores.predictions.checks import Check
from tests.monitoring.conftest import comparison
from tests.support.bundles import bbc_articles

NO_LABELS = Accuracy(
    status="insufficient_data", labelled=0, coverage=0, mean_lag_seconds=None, confidence_level=0.99,
    accuracy=None, macro_f1=None, reference_accuracy=0.9, fall=None, expected_accuracy=0.9, classes=[], words="",
)  # fmt: skip


def mixed(sport: int, others: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    texts, labels = bbc_articles()
    of = {True: [], False: []}  # type: dict[bool, list[str]]
    for text, label in zip(texts, labels, strict=True):
        of[label == "sports"].append(text)
    return rng.sample(of[True], sport) + rng.sample(of[False], others)


def test_a_topic_that_grew_is_named_with_both_shares() -> None:
    moved = changed_topics(mixed(20, 180, 1), mixed(120, 80, 2))
    assert moved
    grown = [topic for topic in moved if topic.now > topic.before]
    assert {"england", "game", "players", "cup", "win", "match", "rugby"} & {
        w for t in grown for w in t.words
    }
    assert sum(topic.now - topic.before for topic in grown) > 0.25
    assert moved == sorted(moved, key=lambda topic: -abs(topic.now - topic.before))


def test_no_topic_moves_where_the_mix_is_the_same() -> None:
    assert changed_topics(mixed(40, 160, 3), mixed(40, 160, 4)) == []


@pytest.mark.parametrize("texts", [["short"] * 10, [""] * 200, [f"word{n}" for n in range(200)]])
def test_texts_of_which_no_topics_can_be_made_have_none(texts: list[str]) -> None:
    assert changed_topics(texts, texts) == []


def test_words_are_named_by_their_share_whatever_the_length() -> None:
    before, now = mixed(100, 100, 5), mixed(100, 100, 6)
    more, less = changed_words(before, [f"{text} oracle oracle" for text in now])
    assert [item.word for item in more] == ["oracle"]
    assert more[0].before < more[0].now
    assert less == []
    # Of the first forty words of an article hardly any stands in as many texts as in the whole.
    assert changed_words(before, [" ".join(text.split()[:40]) for text in now])[1] == []


def test_words_of_the_same_kind_of_texts_do_not_move() -> None:
    assert changed_words(mixed(60, 140, 7), mixed(60, 140, 8)) == ([], [])
    assert changed_words([], ["words"]) == ([], [])


def confidences(count: int, mean: float, seed: int) -> Floats:
    return np.clip(np.random.default_rng(seed).normal(mean, 0.05, count), 0, 1)


def test_the_classes_that_a_change_touches_come_first() -> None:
    before = ["a"] * 100 + ["b"] * 100 + ["c"] * 100
    now = ["a"] * 100 + ["b"] * 160 + ["c"] * 40
    sure = [confidences(300, 0.9, 1), confidences(300, 0.9, 2)]
    sure[1][:100] -= 0.3  # the answers "a" are as many, but less sure
    found = affected_classes(
        [comparison("predicted_label", before, now), comparison("confidence", *sure)], NO_LABELS
    )
    assert [(item.label, item.affected) for item in found] == [("b", True), ("c", True), ("a", True)]
    assert (found[0].before, found[0].now) == pytest.approx((1 / 3, 160 / 300))
    assert found[2].sure_before == pytest.approx(0.9, abs=0.02)
    assert found[2].sure_now == pytest.approx(0.6, abs=0.02)


def test_a_new_or_absent_class_is_affected_without_confidence() -> None:
    sides = ["a"] * 60 + ["b"] * 60, ["a"] * 60 + ["c"] * 60
    sure = confidences(120, 0.9, 1), confidences(120, 0.9, 2)
    found = {
        item.label: item
        for item in affected_classes(
            [comparison("predicted_label", *sides), comparison("confidence", *sure)], NO_LABELS
        )
    }
    assert [name for name, item in found.items() if item.affected] == ["b", "c"]
    assert (found["b"].sure_now, found["c"].sure_before) == (None, None)
    assert affected_classes([], NO_LABELS) == []


def test_the_signals_over_time_need_a_past() -> None:
    def check(day: int, status: str, value: float | None) -> Check:
        signals = {"confidence": {"value": value, "threshold": 0.2, "status": status}, "of old": {}}
        return Check(day, day - 1, day, "news", "1", status, "", "", signals, None, 0)

    assert signals_over_time_picture([check(1, "ok", 0.1)]) is None
    assert signals_over_time_picture([check(1, "ok", None), check(2, "not_measured", None)]) is None
    past = [check(day, "ok", 0.1) for day in range(1, 60)]
    quiet, loud = (signals_over_time_picture([*past, check(60, status, 0.3)]) for status in ("ok", "breach"))
    assert quiet is not None
    assert loud is not None
    assert b"#c2410c" in base64.b64decode(loud.split(",")[1])
    assert b"#c2410c" not in base64.b64decode(quiet.split(",")[1])


def test_a_category_cannot_end_the_script_of_evidentlys_page(tmp_path: Path) -> None:
    hostile = ["</script><script>alert(1)</script>", "<b>", "sport"] * 20
    item = comparison("language", hostile, hostile[::-1])
    signal = Signal(
        name=item.name, title=item.title, measure="", status="ok", value=0.0, threshold=0.1, floor=0.1, words="",
        reference_texts=60, window_texts=60,
    )  # fmt: skip
    drift = Drift(status="ok", alpha=0.01, signals=[signal])
    write_evidently_page([item], drift, tmp_path / "page.html", show_texts=False)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "sport" in page
    assert "<script>alert(1)" not in page
