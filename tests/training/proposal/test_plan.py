"""The choices that `new` makes: what follows from which figures."""

from __future__ import annotations

from typing import Any

import pytest

from training.data.split import quotas
from training.proposal.plan import Figures, Plan, Timing, make_plan


def figures(*sizes: int, **more: Any) -> Figures:
    classes = {f"class {number}": size for number, size in enumerate(sizes)}
    given: dict[str, Any] = {"classes": classes, "single": classes, "median_words": 30, "tokens": (40, 70)}
    return Figures(**given | more)


def settings(plan: Plan, name: str) -> dict[str, Any]:
    return next(item.settings for item in plan.candidates if item.name == name)


def trained(plan: Plan) -> list[str]:
    return [item.name for item in plan.candidates if not item.left_out]


@pytest.mark.parametrize(
    ("sizes", "train"),
    [
        ([16] * 4, 0.5),
        ([200] * 4, 0.6),
        ([1_000] * 4, 0.7),
        ([10_000] * 3, 0.8),
        ([100_000] * 3, 0.949),  # held-out parts are bounded by what intervals gain
    ],
)
def test_the_split_fits_the_number_of_texts(sizes: list[int], train: float) -> None:
    split = make_plan(figures(*sizes)).split
    assert split["train"] == pytest.approx(train)
    assert sum(split.values()) == pytest.approx(1)


@pytest.mark.parametrize("smallest", [3, 4, 6, 9, 15, 40])
def test_the_smallest_class_stands_in_every_part(smallest: int) -> None:
    plan = make_plan(figures(900, 700, smallest))
    counts = quotas(smallest, plan.split)
    assert min(counts.values()) >= (1 if smallest < 12 else 2)
    assert plan.small_classes == ()


def test_a_small_class_of_a_large_file_is_held_out() -> None:
    plan = make_plan(figures(400_000, 300_000, 20))
    assert min(quotas(20, plan.split).values()) >= 2
    assert plan.small_classes == ()


def test_classes_that_cannot_be_held_out_are_named() -> None:
    plan = make_plan(figures(100, 80, 2, 1))
    assert plan.small_classes == ("class 2", "class 3")
    assert any("'class 3' (1)" in remark for remark in plan.remarks)


def test_near_copies_are_not_held_out() -> None:
    sizes = {"a": 50, "b": 50, "copies": 50}
    plan = make_plan(figures(classes=sizes, single={"a": 50, "b": 50, "copies": 1}))
    assert plan.small_classes == ("copies",)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([8] * 4, ["tfidf_logreg", "head"]),
        ([16] * 77, ["tfidf_logreg", "head"]),
        ([130] * 77, ["tfidf_logreg", "static_linear", "head", "minilm_3", "minilm"]),
        (
            [700] * 4,
            ["tfidf_logreg", "tfidf_catboost", "static_linear", "head", "minilm_3", "minilm", "cascade"],
        ),
        ([20_000] * 4, ["tfidf_logreg", "static_linear", "head", "minilm_3", "minilm", "cascade"]),
    ],
)
def test_candidates_from_cheap_to_dear(sizes: list[int], expected: list[str]) -> None:
    assert trained(make_plan(figures(*sizes))) == expected


@pytest.mark.parametrize(("each", "epochs"), [(50, 8), (500, 5), (1_500, 4), (5_000, 3), (40_000, 1)])
def test_few_texts_are_seen_more_often(each: int, epochs: int) -> None:
    plan = make_plan(figures(each, each, each))
    assert settings(plan, "minilm")["epochs"] == settings(plan, "minilm_3")["epochs"] == epochs


@pytest.mark.parametrize(
    ("tokens", "length"), [((10, 14), 32), ((40, 70), 80), ((60, 96), 96), ((300, 900), 256)]
)
def test_the_length_follows_the_95_percent_quantile(tokens: tuple[float, float], length: int) -> None:
    plan = make_plan(figures(500, 500, tokens=tokens))
    assert plan.max_length == settings(plan, "head")["max_length"] == length
    assert make_plan(figures(500, 500, tokens=(300, 900), encoder_limit=128)).max_length == 128


@pytest.mark.parametrize(
    ("language", "words", "stop_words"),
    [("en", 30, "english"), ("en", 8, None), ("de", 30, None), (None, 30, None)],
)
def test_the_english_list_is_for_english(language: str | None, words: int, stop_words: str | None) -> None:
    plan = make_plan(figures(300, 300, language=language, median_words=words))
    assert settings(plan, "tfidf_logreg")["stop_words"] == stop_words
    assert any("multilingual" in remark for remark in plan.remarks) == (language == "de")


def test_texts_without_blanks_get_character_ngrams() -> None:
    plan = make_plan(figures(300, 300, language="th", unspaced=0.95, unknown_tokens=0.4))
    assert trained(plan) == ["tfidf_logreg"]
    assert settings(plan, "tfidf_logreg")["analyzer"] == "char_wb"
    assert {item.name for item in plan.candidates} == {"tfidf_logreg", "head", "minilm_3", "minilm"}
    unread = make_plan(figures(300, 300, language="el", unknown_tokens=0.4))
    assert trained(unread) == ["tfidf_logreg", "static_linear"]
    assert settings(unread, "static_linear")["weights"] is None


@pytest.mark.parametrize(("sizes", "skewed"), [([300, 250], False), ([900, 150], True)])
def test_rare_classes_get_weight(sizes: list[int], skewed: bool) -> None:
    plan = make_plan(figures(*sizes))
    for name in ("tfidf_logreg", "static_linear", "head"):
        assert ("class_weights" in settings(plan, name)) == skewed
    assert ("loss" in settings(plan, "minilm")) == skewed


def test_few_texts_are_all_learned_at_last() -> None:
    assert make_plan(figures(12, 12)).fit_all
    assert not make_plan(figures(500, 500)).fit_all
    assert make_plan(figures(500, 500), fit_all=True).fit_all


def test_the_time_is_told_and_bounded() -> None:
    plan = make_plan(figures(1_000, 1_000), Timing(embed=0.01, train=0.05))
    seconds = {item.name: item.seconds for item in plan.candidates}
    assert seconds["head"] == pytest.approx(14)  # 1,400 training texts
    assert seconds["minilm"] == pytest.approx(0.05 * 1_400 * 5)
    assert seconds["minilm_3"] == pytest.approx(seconds["minilm"] / 2)
    assert plan.seconds == pytest.approx(14 + 1.5 * 350)
    slow = make_plan(figures(1_000, 1_000), Timing(embed=0.1, train=1.0))
    assert trained(slow) == [
        "tfidf_logreg", "tfidf_catboost", "static_linear", "head", "minilm_3", "cascade",
    ]  # fmt: skip
    assert settings(slow, "cascade")["stages"] == ["static_linear", "minilm_3"], "one that is trained"


@pytest.mark.parametrize(
    ("each", "limits"), [(200, None), (360, (0.02, 0.1)), (1_000, (0.01, 0.05)), (2_000, (0.005, 0.05))]
)
def test_a_cascade_promises_what_its_validation_texts_can_show(
    each: int, limits: tuple[float, float] | None
) -> None:
    plan = make_plan(figures(*[each] * 4))
    assert ("cascade" in trained(plan)) == (limits is not None)
    if limits is not None:
        chosen = settings(plan, "cascade")
        assert (chosen["max_accuracy_loss"], chosen["max_class_loss"]) == limits
        assert chosen["stages"] == ["static_linear", "minilm"]
