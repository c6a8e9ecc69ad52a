"""Names at the borders: what is encoded stays apart, fits, and reads well; what cannot be kept is refused."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name, _validate_model_name

from stores.errors import NameRefused
from stores.names import (
    FILE_NAME_BYTES,
    check_alias,
    check_labels,
    check_model_name,
    experiment_name_fault,
    file_name,
    markdown_cell,
    metric_parts,
    tag_value,
)
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings

HOSTILE = (
    "C++", "R&D", "Clothing, Shoes (kids)", "$\\frac{$", "[/red]", "<b>", "{}", "%s", "a/b", "a//b", "../up", "/", ".",
    "..", "#", "?", "o'brien", '"', "a\nb", "a\n", " ", "ไทย", "日本", "😀", "e\u0301", "é", "É", "ﬁ", "fi", "x" * 300,
    "x" * 301, "日" * 300, ":", "::", ":2F", "=2F", "==", "sport", "Sport", "SPORT", "sport_low", "sport_high",
    "sport_LOW", "macro_f1", "nul\0", "CON", "a:b", "K", "K",
)  # fmt: skip
"""Labels that some store, file system or page cannot hold, or takes for another."""

names = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=40), unique=True, max_size=8)


def folded(name: str) -> str:
    """What a database or a file system that ignores case takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@given(names)
def test_metrics_of_labels_are_what_mlflow_keeps_and_stay_apart(labels: list[str]) -> None:
    parts = metric_parts(labels)
    keys = [
        f"winner_validation_f1_{part}{bound}" for part in parts.values() for bound in ("", "_low", "_high")
    ]
    for key in keys:
        _validate_metric_name(key)
        assert len(key) <= MAX_ENTITY_KEY_LENGTH
        assert "\n" not in key, "MLflow's own expression lets a last one pass"
    assert len(set(map(folded, keys))) == len(keys)


@given(names)
def test_file_names_hold_no_path_and_stay_apart(given_names: list[str]) -> None:
    found = [file_name(name) for name in given_names]
    for name in found:
        assert re.fullmatch(r"[\w=.-]+", name)
        assert not name.startswith(".")
        assert len(name.encode()) <= FILE_NAME_BYTES
    assert len(set(map(folded, found))) == len(found)


def test_plain_names_stay_as_they_are() -> None:
    plain = ["billing", "card_lost-2", "Reise & Verkehr", "ไทย"]
    assert metric_parts(plain) == {**dict(zip(plain, plain, strict=True)), plain[2]: "Reise :26 Verkehr"}
    assert file_name("ag_news-smoke") == "ag_news-smoke"
    assert metric_parts(["C++", "sport_low"]) == {"C++": "C:2B:2B", "sport_low": "sport:5Flow"}
    apart = metric_parts(["Spam", "spam", "ham"])
    assert apart["ham"] == "ham"
    assert apart["Spam"].startswith("Spam::")


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a:b", "a#b", "what?", "a@b", 'a"b', "a\\b", "..", ".", " a", "a\n", "a\tb", "x" * 201]
)  # fmt: skip
def test_a_model_name_the_registry_cannot_keep_is_refused(name: str) -> None:
    with pytest.raises(NameRefused, match="MODEL_NAME"):
        check_model_name(name)
    with pytest.raises(NameRefused):
        ModelRegistry(TrackingSettings(model_name=name))


@pytest.mark.parametrize("name", ["news", "bob's tickets", "R&D", "Тикеты", "50%", "[red]", "a,b", "x" * 200])
def test_a_model_that_can_be_registered_is_not_refused(name: str) -> None:
    _validate_model_name(name)
    assert check_model_name(name) == name


@pytest.mark.parametrize("alias", ["", "latest", "V2", "a/b", "../x", "a b", "x" * 65])
def test_an_alias_that_cannot_be_kept_is_refused(alias: str) -> None:
    with pytest.raises(NameRefused, match="MODEL_ALIAS"):
        check_alias(alias)
    with pytest.raises(NameRefused):
        ModelRegistry(TrackingSettings(model_alias=alias))


def test_an_experiment_is_not_named_for_a_path() -> None:
    for name in ("../../../escaped", "a\\b", ".hidden", "", "x" * 101, "a\x00"):
        assert experiment_name_fault(name)
    assert experiment_name_fault("Support tickets: R&D [März]") is None


def test_a_label_the_store_cannot_keep_is_refused() -> None:
    check_labels(["x" * 256, "😀", "a\nb"])
    for label in ("x" * 257, "a\0", "\ud83d"):
        with pytest.raises(NameRefused, match="label"):
            check_labels(["fine", label])


def test_cells_and_tags_are_bounded() -> None:
    assert markdown_cell("a|b\nc <b> `d`") == "a\\|b c \\<b> \\`d\\`"
    assert len(tag_value("x" * 9000)) == 5000
    assert tag_value("x") == "x"
