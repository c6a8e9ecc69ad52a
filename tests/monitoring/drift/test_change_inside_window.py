"""When inside a window a signal began to differ."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from monitoring.drift.change_point import change_inside
from monitoring.drift.signal import Comparison
from tests.monitoring.conftest import comparison
from tests.support.bundles import bbc_articles

SIZE, CUT = 200, 130


SIGNALS = {
    "numbers": "confidence",
    "mix": "predicted_label",
    "points": "embedding",
    "texts": "text_content",
}
Kind = Literal["numbers", "mix", "points", "texts"]


def signal(kind: Kind, reference: object, window: object, times: list[float] | None = None) -> Comparison:
    return comparison(
        SIGNALS[kind],
        reference,
        window,
        times=[float(at) for at in range(SIZE)] if times is None else times,
    )


def sides(kind: Kind, rng: np.random.Generator, *, cut: int = CUT) -> tuple[object, object]:
    """A reference of 300 values, and a window whose values are like it before `cut` and others after it."""
    if kind == "numbers":
        return rng.normal(0, 1, 300), np.append(rng.normal(0, 1, cut), rng.normal(2, 1, SIZE - cut))
    if kind == "mix":
        usual, now = rng.choice(["a", "b", "c"], 300 + cut), rng.choice(["a", "d"], SIZE - cut)
        return usual[:300].tolist(), [*usual[300:].tolist(), *now.tolist()]
    if kind == "points":
        usual = rng.dirichlet(np.ones(20) * 0.3, 300 + cut)
        now = rng.dirichlet(np.append(np.ones(3) * 3, np.ones(17) * 0.1), SIZE - cut)
        return usual[:300], np.concatenate([usual[300:], now])
    texts, labels = (np.array(part) for part in bbc_articles())
    sports, others = texts[labels == "sports"], rng.permutation(texts[labels != "sports"])
    return others[:300].tolist(), [*others[300 : 300 + cut].tolist(), *sports[: SIZE - cut].tolist()]


@pytest.mark.parametrize("kind", ["numbers", "mix", "points", "texts"])
def test_the_first_prediction_after_the_change_is_found(kind: Kind) -> None:
    rng = np.random.default_rng(1)
    reference, window = sides(kind, rng)
    order = rng.permutation(SIZE)  # the store hands predictions out in no order
    mixed = np.asarray(window)[order] if kind != "texts" else [window[place] for place in order]  # type: ignore[index]
    found = change_inside(signal(kind, reference, mixed, [float(at) for at in order]), rng)
    assert found is not None
    assert abs(found - CUT) <= 5


def test_a_change_of_the_tails_alone_is_found() -> None:
    rng = np.random.default_rng(2)
    window = np.append(rng.normal(0, 1, CUT), rng.normal(0, 6, SIZE - CUT))
    found = change_inside(signal("numbers", rng.normal(0, 1, 300), window), rng)
    assert found is not None
    assert abs(found - CUT) <= 15


def test_without_a_change_inside_none_is_found() -> None:
    rng = np.random.default_rng(3)
    found = [
        change_inside(signal("numbers", rng.normal(0, 1, 100), rng.normal(3, 1, SIZE)), rng)
        for _ in range(60)
    ]
    assert len([moment for moment in found if moment is not None]) <= 4, "at 1 % 5 of 60 come once in 2,500"


def test_a_return_to_the_usual_is_no_beginning() -> None:
    rng = np.random.default_rng(4)
    window = np.append(rng.normal(3, 1, CUT), rng.normal(0, 1, SIZE - CUT))
    assert change_inside(signal("numbers", rng.normal(0, 1, 300), window), rng) is None


def test_predictions_of_one_moment_and_few_ones_are_not_cut() -> None:
    rng = np.random.default_rng(5)
    reference, window = sides("numbers", rng)
    assert change_inside(signal("numbers", reference, window, [7.0] * SIZE), rng) is None
    assert (
        change_inside(signal("numbers", reference, window[-15:], [float(at) for at in range(15)]), rng)
        is None
    )  # type: ignore[index]
    assert change_inside(signal("numbers", reference, window, []), rng) is None
