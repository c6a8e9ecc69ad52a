"""Cutting batches: every text once, no batch over the budget, like lengths together."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from classifier.batches import cut_batches

COSTS = st.lists(st.integers(1, 600), max_size=200)
BUDGET = st.integers(1, 5000)


@given(COSTS, BUDGET)
def test_every_text_once_and_no_batch_over_the_budget(costs: list[int], budget: int) -> None:
    batches = list(cut_batches(costs, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(costs)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or max(costs[i] for i in batch) * len(batch) <= budget


@given(COSTS, BUDGET)
def test_shortest_first_within_and_across_batches(costs: list[int], budget: int) -> None:
    lengths = [costs[index] for batch in cut_batches(costs, budget) for index in batch]
    assert lengths == sorted(costs)


@given(COSTS, BUDGET)
def test_no_batch_could_have_taken_the_next_text(costs: list[int], budget: int) -> None:
    batches = list(cut_batches(costs, budget))
    for batch, following in pairwise(batches):
        assert costs[following[0]] * (len(batch) + 1) > budget
