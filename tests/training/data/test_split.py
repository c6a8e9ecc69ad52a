"""The splitter as a promise: whatever the texts, parts are disjoint, stratified, repeatable, and leak nothing."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests import golden_messages as messages
from training.data import ClassTooSmall, DataConfig, LoadedData, Part, RowCounts, SplitConfig, split_data
from training.data.deduplication import jaccard, near_duplicate_groups, shingles
from training.data.split import quotas, subsample

WORDS = [f"word{number}" for number in range(400)]


def loaded(texts: list[str], labels: list[str]) -> LoadedData:
    return LoadedData("made up", Part(texts, labels), RowCounts(read=len(texts)))


def sentence(rng: random.Random, words: int = 12) -> str:
    return " ".join(rng.choices(WORDS, k=words))


@st.composite
def data_sets(draw: st.DrawFn) -> LoadedData:
    """Two to four classes of 40 to 120 texts, some of them copied with one word added, sometimes across classes."""
    rng = random.Random(draw(st.integers(0, 10_000)))
    rows = [
        (sentence(rng), f"class {number}")
        for number in range(draw(st.integers(2, 4)))
        for _ in range(draw(st.integers(40, 120)))
    ]
    for _ in range(draw(st.integers(0, 8))):
        text, label = rng.choice(rows)
        rows.append((f"{text} again{rng.random()}", rng.choice([label, "class 0"])))
    rng.shuffle(rows)
    return loaded([text for text, _ in rows], [label for _, label in rows])


@settings(max_examples=25, deadline=None)
@given(data_sets(), st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_stratified_and_repeatable(data: LoadedData, seed: int) -> None:
    config = DataConfig()
    splits = split_data(data, config, seed)
    parts = splits.parts()

    assert Counter(row for part in parts.values() for row in part) == Counter(data.part)
    total = Counter(data.labels)
    for name, share in config.split.shares().items():
        for label, count in Counter(parts[name].labels).items():
            assert count == pytest.approx(total[label] * share, abs=1.001) or name == "train"
        assert set(parts[name].labels) == set(data.labels)

    part_of = {text: name for name, part in parts.items() for text in part.texts}
    for group in near_duplicate_groups(data.texts, config.near_duplicate_similarity):
        assert {part_of[data.texts[index]] for index in group} == {"train"}

    again = split_data(data, config, seed)
    assert again.fingerprint == splits.fingerprint


@given(
    st.integers(0, 5000),
    st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0.01, 1), min_size=1, max_size=6),
)
def test_quotas_share_out_everything_within_one(total: int, shares: dict[str, float]) -> None:
    counts = quotas(total, shares)
    assert sum(counts.values()) == total
    for name, share in shares.items():
        assert abs(counts[name] - total * share / sum(shares.values())) < 1 + 1e-6


@given(st.lists(st.sampled_from("abc"), min_size=10, max_size=200), st.data())
def test_subsample_is_stratified(labels: list[str], data: st.DataObject) -> None:
    limit = data.draw(st.integers(2, len(labels)))
    kept = subsample(labels, limit, seed=3)
    assert len(set(kept)) == limit
    assert kept == sorted(kept)
    for label, count in Counter(labels).items():
        assert sum(labels[i] == label for i in kept) == pytest.approx(count * limit / len(labels), abs=1.001)


def test_near_copies_are_found_through_a_chain() -> None:
    rng = random.Random(0)
    first = sentence(rng, 60)
    second = first + " one more word"
    third = second + " and yet another few"
    others = [sentence(rng, 60) for _ in range(50)]
    assert jaccard(shingles(first), shingles(third)) < 0.95
    assert near_duplicate_groups([*others, first, second, third], 0.9) == [[50, 51, 52]]


def test_case_and_punctuation_make_no_other_text() -> None:
    assert near_duplicate_groups(["Thanks a lot!", "no", "thanks, a lot", "?!", "…"], 0.8) == [[0, 2]]


def test_near_copies_shrink_held_out_parts_and_never_leak() -> None:
    rng = random.Random(1)
    templates = [sentence(rng, 40) for _ in range(4)]
    rows = [(f"{templates[n % 4]} number{n}", "a") for n in range(80)]
    rows += [(sentence(rng), "a") for _ in range(20)] + [(sentence(rng), "b") for _ in range(100)]
    splits = split_data(loaded([text for text, _ in rows], [label for _, label in rows]), DataConfig(), 0)
    assert splits.report.near_duplicates == 80
    assert splits.test.labels.count("b") == 15
    assert 1 <= splits.test.labels.count("a") <= 8
    assert not any("number" in text for text in splits.test.texts + splits.validation.texts)


def test_shares_below_one_leave_texts_over() -> None:
    rng = random.Random(2)
    data = loaded([sentence(rng) for _ in range(200)], ["a", "b"] * 100)
    config = DataConfig(split=SplitConfig(train=0.2, validation=0.1, test=0.1, holdout=0))
    splits = split_data(data, config, 0)
    assert [len(part) for part in splits.parts().values()] == [40, 20, 20, 0]
    assert splits.report.unused == 120
    assert splits.report.as_dict()["parts"]["holdout"]["words"] == {}


def test_a_class_too_small_is_named_with_its_count() -> None:
    rng = random.Random(3)
    labels = ["big"] * 100 + ["tiny"] * 4
    data = loaded([sentence(rng) for _ in labels], labels)
    with pytest.raises(ClassTooSmall, match=messages.CLASS_TOO_SMALL) as refusal:
        split_data(data, DataConfig(), 0)
    needed = int(str(refusal.value).split("and ")[1].split()[0])
    labels = ["big"] * 100 + ["tiny"] * needed
    splits = split_data(loaded([sentence(rng) for _ in labels], labels), DataConfig(), 0)
    assert all("tiny" in part.labels for part in splits.parts().values())


def test_a_class_of_near_copies_only_is_refused() -> None:
    rng = random.Random(4)
    template = sentence(rng, 40)
    texts = [f"{template} number{n}" for n in range(50)] + [sentence(rng) for _ in range(50)]
    with pytest.raises(ClassTooSmall, match=messages.CLASS_OF_COPIES):
        split_data(loaded(texts, ["copies"] * 50 + ["others"] * 50), DataConfig(), 0)


@pytest.mark.parametrize(
    "shares", [{"train": 0.9}, {"validation": 0}, {"train": -0.1}, {"holdout": -0.1}, {"reserved": 0.1}]
)
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SplitConfig(**shares)  # type: ignore[arg-type]
