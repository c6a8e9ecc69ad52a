"""Labels of a source: what is no label, what is missing, and several spellings of one."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import golden_messages as messages
from training.config.data import MISSING_LABELS, ChecksConfig, Limits
from training.data import (
    ClassTooSmall,
    ColumnAmbiguous,
    DataConfig,
    DataRefused,
    NotOneValue,
    label_variants,
    load_data,
    split_data,
)
from training.data.checks import check_data
from training.data.findings import Finding
from training.data.labels import as_text, is_list, joined_labels, kind_of_labels, variant_key
from training.data.rows import find_columns, unique_names

CHECKS = ChecksConfig(language_texts=0)


def _texts(count: int) -> list[str]:
    return [
        f"Ticket {number} about subject {number * 7 % 97} and {number * 13 % 89}" for number in range(count)
    ]


def _jsonl(path: Path, label: list[Any], **columns: list[Any]) -> DataConfig:
    rows = [{"text": text, "label": value} for text, value in zip(_texts(len(label)), label, strict=True)]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataConfig(source=str(path), checks=CHECKS)


def _csv(path: Path, labels: list[str]) -> DataConfig:
    lines = [f'{text},"{label}"' for text, label in zip(_texts(len(labels)), labels, strict=True)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return DataConfig(source=str(path), checks=CHECKS)


def _parquet(path: Path, **columns: Any) -> DataConfig:
    pa.parquet.write_table(pa.table(columns), path)
    return DataConfig(source=str(path), checks=CHECKS)


def _findings(config: DataConfig) -> dict[str, Finding]:
    loaded = load_data(config, 1)
    found = check_data(loaded, split_data(loaded, config, 1), config, seed=1)
    return {finding.name: finding for finding in found.findings}


@pytest.mark.parametrize("label", [["billing", "delivery"], [0, 1], {"billing": 1, "delivery": 0}, []])
def test_a_list_or_an_object_is_no_label_whichever_row_has_it(tmp_path: Path, label: Any) -> None:
    config = _jsonl(tmp_path / "a.jsonl", ["a", "b", "a", label, "b"])
    with pytest.raises(NotOneValue, match=messages.ONE_LABEL_NEEDED) as refusal:
        load_data(config, 1)
    assert (refusal.value.row, refusal.value.column, refusal.value.value) == (4, "label", label)


def test_parquet_lists_and_texts_of_several_parts_are_refused(tmp_path: Path) -> None:
    texts = _texts(4)
    for name, label in (("names", [["a"], ["b"], ["a", "b"], ["a"]]), ("ids", [[0], [1], [0, 1], [0]])):
        with pytest.raises(NotOneValue) as refusal:
            load_data(_parquet(tmp_path / f"{name}.parquet", text=texts, label=label), 1)
        assert (refusal.value.row, refusal.value.value) == (1, label[0])
    for text in ([{"body": text} for text in texts], [text.split() for text in texts]):
        with pytest.raises(NotOneValue, match=messages.TEXT_NOT_ONE_VALUE):
            load_data(_parquet(tmp_path / "text.parquet", text=text, label=["a", "b"] * 2), 1)


def test_bytes_are_decoded_and_refused_where_they_are_no_text(tmp_path: Path) -> None:
    texts = [text.encode() for text in _texts(40)]
    loaded = load_data(_parquet(tmp_path / "a.parquet", text=texts, label=[b"a", b"b"] * 20), 1)
    assert (loaded.texts, set(loaded.labels)) == (_texts(40), {"a", "b"})
    loaded = load_data(
        _parquet(tmp_path / "a.parquet", text=[b"\xff\xfe", *texts[1:]], label=["a", "b"] * 20), 1
    )
    assert loaded.counts.unreadable == 1
    assert not any(text.startswith("b'") for text in loaded.texts)


@pytest.mark.parametrize("lists", [["['a', 'b']", "['a']"], ["[0, 1]", "[1]"], ['{""a"": 1}', '{""b"": 1}']])
def test_lists_as_text_are_refused_if_most_labels_are_lists(tmp_path: Path, lists: list[str]) -> None:
    config = _csv(tmp_path / "a.csv", lists * 20 + ["a", "b"])
    with pytest.raises(DataRefused, match=messages.LABELS_ARE_LISTS):
        load_data(config, 1)


def test_a_few_lists_are_a_finding_and_listed_names_are_classes(tmp_path: Path) -> None:
    found = _findings(_csv(tmp_path / "a.csv", ["['a', 'b']"] * 10 + ["a", "b"] * 20))["no_classes"]
    assert (found.value, found.severity) == (pytest.approx(10 / 50), "warning")
    names = {"['a']": "[1]", "['b']": "[2]"}
    config = _csv(tmp_path / "b.csv", ["['a']", "['b']"] * 20).model_copy(update={"label_names": names})
    assert set(load_data(config, 1).labels) == {"[1]", "[2]"}


def test_what_is_a_list_and_what_only_looks_like_one() -> None:
    for label in ("['a']", '["a", "b"]', "[0 1 0]", "[1]", "('a', 'b')", "{'a'}", '{"a": 1}', "['a' 'b']"):
        assert is_list(label), label
    for label in ("[other]", "a, b", "{x}", "(none)", "[", "[]extra", "", "[" * 5000 + "]" * 5000):
        assert not is_list(label), label


def test_labels_that_consist_of_other_labels_are_found() -> None:
    found = joined_labels({"a": 3, "b": 2, "a|b": 4, "a;c": 1, "R&D, sales": 2})
    assert found == {"a|b": ("a", "b")}


@pytest.mark.parametrize("word", MISSING_LABELS)
def test_words_for_a_missing_value_are_no_class(tmp_path: Path, word: str) -> None:
    loaded = load_data(_csv(tmp_path / "a.csv", ["a", "b"] * 20 + [word] * 7), 1)
    assert set(loaded.labels) == {"a", "b"}
    assert (loaded.counts.unlabelled, loaded.counts.missing_labels) == (7, {word: 7})


def test_missing_words_are_a_setting_and_are_said(tmp_path: Path) -> None:
    config = _csv(tmp_path / "a.csv", ["a", "None"] * 20 + ["", "nan", "unknown"])
    found = _findings(config.model_copy(update={"missing_labels": ("unknown", "nan")}))["unlabelled"]
    assert found.value == pytest.approx(3 / 43)
    assert "nan ×1, unknown ×1" in found.words
    named = config.model_copy(update={"label_names": {"None": "nothing"}})
    assert set(load_data(named, 1).labels) == {"a", "nothing", "unknown"}
    with pytest.raises(DataRefused, match=messages.TOO_FEW_LABELS):
        load_data(_csv(tmp_path / "b.csv", ["a"] * 30 + ["None"] * 10), 1)
    assert DataConfig(missing_labels=[None, "-"]).missing_labels == ("None", "-")  # type: ignore[arg-type, list-item]


def test_most_rows_without_a_label_are_refused(tmp_path: Path) -> None:
    config = _csv(tmp_path / "a.csv", ["a", "b"] * 10 + ["nan"] * 30)
    with pytest.raises(DataRefused, match=messages.TOO_MANY_UNLABELLED):
        load_data(config, 1)
    assert len(load_data(config.model_copy(update={"max_unlabelled": 0.6}), 1)) == 20


def test_one_number_is_one_label_in_every_format(tmp_path: Path) -> None:
    texts = _texts(6)
    wanted = ["0", "1", "2", "0", "1", "2"]
    whole: list[float] = [0, 1, 2, 0, 1, 2]
    configs = [
        _parquet(tmp_path / "float.parquet", text=texts, label=pa.array(whole, pa.float64())),
        _parquet(tmp_path / "int.parquet", text=texts, label=pa.array(whole, pa.int8())),
        _parquet(tmp_path / "decimal.parquet", text=texts, label=[Decimal(f"{n}.00") for n in whole]),
        _jsonl(tmp_path / "a.jsonl", [0, 1.0, 2, 0.0, 1, 2.0]),
        _csv(tmp_path / "a.csv", ["0", "1.0", "2", "0.0", "1", "2.0"]),
    ]
    for config in configs:
        assert load_data(config, 1).labels == wanted, config.source
    counts = load_data(configs[-1], 1).counts
    assert counts.joined_labels == {n: {n: 1, f"{n}.0": 1} for n in "012"}


def test_versions_are_no_numbers_that_can_be_joined(tmp_path: Path) -> None:
    config = _csv(tmp_path / "a.csv", ["1.1", "1.10", "2.0", "3.0"] * 5)
    assert set(load_data(config, 1).labels) == {"1.1", "1.10", "2.0", "3.0"}


def test_values_have_one_text() -> None:
    assert [as_text(value) for value in (None, float("nan"), pd.NaT, np.float32(2), np.int64(3), np.True_)] == [
        "", "", "", "2", "3", "True",
    ]  # fmt: skip
    assert as_text(datetime.datetime(2026, 1, 2)) == "2026-01-02T00:00:00"
    assert [as_text(value) for value in (-0.0, 0.5, Decimal("1.50"), True)] == ["0", "0.5", "1.5", "True"]
    for value in ([], (), {}, set(), np.zeros(2), object()):
        with pytest.raises(NotOneValue):
            as_text(value)


VARIANTS = ["Spam", "spam", "SPAM", "sp\u200bam", "\uff53\uff50\uff41\uff4d"]


def test_spellings_of_one_label_are_grouped() -> None:
    labels = (
        VARIANTS * 2 + ["spam"] * 5 + ["cafe\u0301", "caf\u00e9", "a\u00a0b", "a b", "01", "1.0", "Spam 1"]
    )
    groups = {group.kept: set(group.spellings) for group in label_variants(labels)}
    assert groups == {
        "spam": set(VARIANTS), "caf\u00e9": {"cafe\u0301", "caf\u00e9"}, "a b": {"a\u00a0b", "a b"},
        "01": {"01", "1.0"},
    }  # fmt: skip
    first = label_variants(labels)[0]
    assert (first.kept, first.spellings["spam"], first.rows) == ("spam", 7, 8)


@given(st.text(max_size=12))
def test_a_label_has_one_key_whatever_its_case_and_blanks(label: str) -> None:
    assert variant_key(f" {label}\u200b ") == variant_key(label)
    assert variant_key(variant_key(label)) == variant_key(label)


def test_spellings_are_a_finding_and_a_setting_joins_them(tmp_path: Path) -> None:
    config = _csv(tmp_path / "a.csv", ["Spam", "spam", "ham", "ham", "ham", "spam"] * 20)
    found = _findings(config)["label_variants"]
    assert (found.value, found.severity) == (1, "warning")
    assert "'spam' ×40, 'Spam' ×20" in found.words
    stopping = config.model_copy(
        update={"checks": ChecksConfig(language_texts=0, label_variants=Limits(stop=0))}
    )
    assert _findings(stopping)["label_variants"].severity == "error"
    joined = config.model_copy(update={"join_label_variants": True})
    loaded = load_data(joined, 1)
    assert set(loaded.labels) == {"spam", "ham"}
    assert loaded.counts.joined_labels == {"spam": {"spam": 40, "Spam": 20}}
    assert (
        split_data(loaded, joined, 1).report.as_dict()["rows"]["joined_labels"] == loaded.counts.joined_labels
    )


def test_many_numbers_and_dates_are_no_classes(tmp_path: Path) -> None:
    assert kind_of_labels({f"{n / 10}" for n in range(30)}) == "numbers"
    assert kind_of_labels({str(n) for n in range(5)}) == "words"
    assert kind_of_labels({"2026-01-01", "2026-01-02T00:00:00"}) == "dates"
    scores = _csv(tmp_path / "a.csv", [f"{number / 100}" for number in range(100)])
    with pytest.raises(ClassTooSmall, match=messages.LABELS_ARE_NUMBERS):
        split_data(load_data(scores, 1), scores, 1)
    found = _findings(_csv(tmp_path / "b.csv", [f"{number % 25}" for number in range(500)]))["no_classes"]
    assert (found.value, found.severity) == (1, "warning")
    dates = [datetime.datetime(2026, 1, 1 + number % 2) for number in range(60)]
    found = _findings(_parquet(tmp_path / "c.parquet", text=_texts(60), label=dates))["no_classes"]
    assert (found.value, "dates" in found.words) == (1, True)


def test_every_class_that_is_too_small_is_named_with_its_size(tmp_path: Path) -> None:
    config = _csv(tmp_path / "a.csv", ["a", "b"] * 40 + ["rare"] * 2 + ["once"])
    with pytest.raises(ClassTooSmall, match=messages.CLASSES_TOO_SMALL):
        split_data(load_data(config, 1), config, 1)
    dropped = config.model_copy(update={"small_classes": "drop"})
    loaded = load_data(dropped, 1)
    splits = split_data(loaded, dropped, 1)
    assert splits.labels == ("a", "b")
    assert splits.report.rows.small_classes == {"once": 1, "rare": 2}
    assert loaded.counts.small_classes == {}
    found = {finding.name: finding for finding in check_data(loaded, splits, dropped, seed=1).findings}
    assert "once (1), rare (2)" in found["small_classes"].words
    only = _csv(tmp_path / "b.csv", ["a"] * 40 + ["once"]).model_copy(update={"small_classes": "drop"})
    with pytest.raises(DataRefused, match=messages.CLASSES_MERGED_TO_ONE):
        split_data(load_data(only, 1), only, 1)


def test_small_spellings_of_a_class_are_explained(tmp_path: Path) -> None:
    config = _csv(tmp_path / "a.csv", ["a", "b"] * 40 + ["A"] * 2)
    with pytest.raises(ClassTooSmall, match=messages.LABEL_VARIANTS):
        split_data(load_data(config, 1), config, 1)


def test_classes_with_few_texts_to_learn_from_are_a_finding(tmp_path: Path) -> None:
    found = _findings(_csv(tmp_path / "a.csv", ["a", "b"] * 40 + ["few"] * 12))["small_classes"]
    assert (found.value, found.severity) == (1, "warning")
    assert "few (" in found.words


def test_which_of_several_columns_was_taken_is_said(tmp_path: Path) -> None:
    config = _jsonl(tmp_path / "a.jsonl", ["a", "b"] * 20, labels=["c", "d"] * 20, content=["x"] * 40)
    loaded = load_data(config, 1)
    assert loaded.columns is not None
    assert (loaded.columns.texts, loaded.columns.label) == (("text",), "label")
    assert (loaded.columns.other_texts, loaded.columns.other_labels) == (("content",), ("labels",))
    found = _findings(config)["other_columns"]
    assert (found.value, found.severity) == (2, "warning")
    report = split_data(loaded, config, 1).report.as_dict()
    assert report["columns"]["other_labels"] == ("labels",)
    named = config.model_copy(update={"label_column": "labels", "text_column": "text"})
    assert _findings(named)["other_columns"].value == 0
    assert set(load_data(named, 1).labels) == {"c", "d"}


def test_equal_column_names_are_refused_only_where_needed() -> None:
    names = ["text", "label", "note", "note", "label"]
    assert unique_names(names) == ["text", "label", "note", "note#4", "label#5"]
    with pytest.raises(ColumnAmbiguous, match=messages.COLUMN_TWICE):
        find_columns(names, DataConfig(source="a.csv"))
    with pytest.raises(ColumnAmbiguous):
        find_columns(names, DataConfig(source="a.csv", label_column="label"))
    assert find_columns(names, DataConfig(source="a.csv", label_column="#5")).label == "label#5"
    assert find_columns(["v1", "v2", "", ""], DataConfig(text_column="v2", label_column="v1")).label == "v1"
    assert find_columns(["#2", "text"], DataConfig(label_column="#2")).label == "#2"


def test_a_common_name_is_not_taken_twice() -> None:
    columns = find_columns(["review", "sentiment", "comment"], DataConfig(label_column="review"))
    assert (columns.texts, columns.label) == (("comment",), "review")
    columns = find_columns(["topic", "class"], DataConfig(text_column="topic"))
    assert (columns.texts, columns.label) == (("topic",), "class")
