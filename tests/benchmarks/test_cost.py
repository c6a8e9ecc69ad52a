"""What bounds the cost of a check, and the tool that measures it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benchmarks.monitoring.cost import fill, main
from monitoring.champion import find_champion
from stores.settings import SigningSettings
from tests import golden_messages as messages
from tests.monitoring.conftest import House, normal


def test_a_check_compares_no_more_than_the_setting_says(house: House) -> None:
    house.answer(normal(300)[0])
    verdict = house.verdict(monitoring_max_texts=120)
    assert verdict.window.predictions == 300
    assert verdict.window.sampled == 120
    # The mix of the answers is counted, not computed: it is held against the whole reference.
    all_of_reference = {"service_latency", "predicted_label"}
    of_texts = [signal for signal in verdict.drift.signals if signal.name not in all_of_reference]
    assert {signal.reference_texts for signal in of_texts} == {120}, "the reference has 445"
    assert 110 < max(signal.window_texts for signal in verdict.drift.signals) <= 120, "a few repeat"
    assert verdict.accuracy.reference_accuracy > 0.9, "of the whole reference"


def test_the_store_is_filled_with_what_a_check_can_read(house: House) -> None:
    champion = find_champion(house.registry, house.tracking, SigningSettings())
    fill(house.store, champion, 1000)
    rows = house.store.window(0, 1e12)
    assert len({row.id for row in rows}) == 1000
    assert len({row.text for row in rows}) > 900
    assert sum(row.true_label is not None for row in rows) == 100
    assert {row.label for row in rows} == set(champion.labels)
    assert all(sum(row.scores.values()) == pytest.approx(1) for row in rows)
    assert max(row.created_at for row in rows) - min(row.created_at for row in rows) > 86_000


def test_sizes_that_are_no_numbers_are_refused() -> None:
    wrong = CliRunner().invoke(main, ["--rows", "many"])
    assert wrong.exit_code == 2
    assert messages.COUNTS_NOT_A_LIST in wrong.output
