"""What a promotion changes, read from the tags of two versions."""

from __future__ import annotations

import json

import pytest

from stores.promotion import (
    DATA_SOURCE,
    LABELS,
    LABELS_DIGEST,
    SOURCE_FINGERPRINT,
    PromotionChange,
    label_tags,
    labels_digest,
    labels_in,
    other_source,
)
from stores.registry import RegisteredModel


def version(number: str, **tags: str) -> RegisteredModel:
    return RegisteredModel("tickets", number, f"m-{number}", "", tags=tags)


def test_labels_are_always_digested_and_listed_where_they_fit() -> None:
    few = ["C++", "Clothing, Shoes (kids)", "Überweisung", "票"]
    tags = label_tags(few)
    assert labels_in(tags) == tuple(few)
    assert tags[LABELS_DIGEST] == labels_digest(few[::-1]) != labels_digest(few[1:])
    many = [f"intent number {number} of a great many" for number in range(400)]
    tags = label_tags(many)
    assert tags[LABELS] == "400 labels"
    assert labels_in(tags) is None
    assert tags[LABELS_DIGEST] == labels_digest(many)
    assert labels_in(label_tags(["half \ud83d", "whole"])) == ("half \ud83d", "whole")
    assert labels_in({}) is None


def test_other_labels_and_a_gate_that_said_no_are_refusals() -> None:
    champion = version("3", gate="passed")
    change = PromotionChange(version("4", gate="passed"), champion, ("b", "a"), ("a", "b"))
    assert not change.labels_differ, "their order does not count"
    assert change.refusals() == []
    other = PromotionChange(version("4", gate="passed"), champion, ("a", "c"), ("a", "b"))
    assert (other.added, other.removed) == (("c",), ("b",))
    assert len(other.refusals()) == 1
    assert "version 3: adds c; lacks b" in other.refusals()[0]
    refused = PromotionChange(version("4", gate="failed", gate_reasons="Too slow."), champion, ("a",), ("b",))
    assert len(refused.refusals()) == 2
    assert refused.refusals()[1] == "the gate refused version 4: Too slow"


def test_without_champion_or_known_labels_nothing_differs() -> None:
    assert not PromotionChange(version("1"), None, ("a", "b"), ()).labels_differ
    assert not PromotionChange(version("2"), version("1"), ("a", "b"), ()).labels_differ
    assert PromotionChange(version("2", gate="failed"), None, ("a",), ()).refusals()


@pytest.mark.parametrize(
    ("before", "after", "differ"),
    [
        (("/data/a.csv", "1"), ("/data/a.csv", "2"), False),
        (("/data/a.csv", "1"), ("/data/b.csv", "2"), True),
        (("/data/a.csv", "1"), ("/moved/a.csv", "1"), False),
        ((None, None), ("/data/b.csv", "2"), False),
        (("/data/a.csv", None), ("/data/b.csv", None), True),
    ],
)
def test_another_name_is_another_source_unless_texts_are_equal(
    before: tuple[str | None, str | None], after: tuple[str | None, str | None], differ: bool
) -> None:
    def tags(source: str | None, fingerprint: str | None) -> dict[str, str]:
        found = {DATA_SOURCE: source, SOURCE_FINGERPRINT: fingerprint}
        return {key: value for key, value in found.items() if value is not None}

    assert other_source(tags(*before), tags(*after)) is differ


def test_the_comparison_names_what_changes_side_by_side() -> None:
    champion = version(
        "3", experiment="news", data="a" * 64, test_macro_f1="0.9000", **{DATA_SOURCE: "bbc_news"}
    )
    new = version(
        "4", experiment="tickets", data="b" * 64, test_macro_f1="0.7000", test_macro_f1_low="0.6000",
        test_macro_f1_high="0.8000", **{DATA_SOURCE: "/data/tickets.csv"},
    )  # fmt: skip
    rows = {
        name: (before, after) for name, before, after in PromotionChange(new, champion, ("x",), ("y",)).rows()
    }
    assert rows["labels added"] == ("", "x")
    assert rows["labels removed"] == ("y", "")
    assert rows["data source"] == ("bbc_news", "/data/tickets.csv")
    assert rows["experiment"] == ("news", "tickets")
    assert rows["data fingerprint"] == ("a" * 12, "b" * 12)
    assert rows["macro-F1"] == ("0.9000", "0.7000 (0.6000–0.8000)")
    assert json.dumps(rows)
