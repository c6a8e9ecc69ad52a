"""Splits by numbers of texts, and numeric labels as classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests import golden_messages as messages
from training.data import (
    DataConfig,
    DataRefused,
    LoadedData,
    Part,
    RowCounts,
    SplitConfig,
    load_data,
    split_data,
)


def loaded(**sizes: int) -> LoadedData:
    rows = [
        (f"{label} text number {n} about thing {n * 7} and {n * n}", label)
        for label, size in sizes.items()
        for n in range(size)
    ]
    return LoadedData(
        "made", Part([text for text, _ in rows], [label for _, label in rows]), RowCounts(read=len(rows))
    )


def test_every_part_is_exactly_as_large_as_asked() -> None:
    config = DataConfig(
        split=SplitConfig(train_texts=100, validation_texts=50, test_texts=30), near_duplicate_similarity=1.0
    )
    splits = split_data(loaded(a=127, b=61, c=33), config, 3)
    assert {name: len(part) for name, part in splits.parts().items()} == {
        "train": 100, "validation": 50, "test": 30, "holdout": 0,
    }  # fmt: skip
    assert splits.report.unused == 127 + 61 + 33 - 180
    assert set(splits.test.labels) == {"a", "b", "c"}
    assert not set(splits.train.texts) & {*splits.validation.texts, *splits.test.texts}
    assert split_data(loaded(a=127, b=61, c=33), config, 3).fingerprint == splits.fingerprint


def test_more_texts_than_there_are_is_refused() -> None:
    config = DataConfig(split=SplitConfig(train_texts=100, validation_texts=50, test_texts=30))
    with pytest.raises(DataRefused, match=messages.TOO_FEW_TEXTS):
        split_data(loaded(a=45, b=45), config, 3)


@pytest.mark.parametrize(
    "given", [{"train_texts": 5}, {"holdout_texts": 5}, {"train_texts": 5, "test_texts": 5}]
)
def test_numbers_come_together(given: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=messages.TEXT_COUNTS_INCOMPLETE):
        SplitConfig(**given)  # type: ignore[arg-type]


def test_scores_become_classes(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    scores = ["-4", "-0.5", "-0.49", "0", "0.5", "0.51", "4", "n/a"]
    path.write_text("id,score,text\n" + "".join(f"1,{score},review {n}\n" for n, score in enumerate(scores)))
    config = DataConfig(
        source=str(path), label_column="score", label_bins={"negative": -0.5, "neutral": 0.5, "positive": None},
        max_refused=0.5,
    )  # fmt: skip
    found = load_data(config, 0)
    assert found.labels == ["negative", "negative", "neutral", "neutral", "neutral", "positive", "positive"]
    assert (found.counts.unlabelled, found.counts.examples["unlabelled"]) == (1, [8])


@pytest.mark.parametrize(
    "bins", [{"a": 1.0}, {"a": 1.0, "b": 1.0}, {"a": None, "b": 1.0}, {"a": float("nan"), "b": 1}]
)
def test_classes_that_do_not_rise_are_refused(bins: dict[str, float | None]) -> None:
    with pytest.raises(ValidationError, match=messages.BINS_INVALID):
        DataConfig(label_bins=bins)


def test_texts_without_labels_are_counted_with_their_copies() -> None:
    data = loaded(a=60, b=60)
    data.part.texts[:2] = ["One and the same text.", "One and the same text!"]
    config = DataConfig(
        split=SplitConfig(
            train_texts=30, validation_texts=20, test_texts=20, unlabelled_texts=30, calibration_texts=10
        ),
        near_duplicate_similarity=1.0,
    )
    splits = split_data(data, config, 3)
    assert [len(part) for part in splits.parts().values()] == [30, 20, 20, 0]
    assert len(splits.unlabelled) == splits.report.unlabelled == 30
    assert len(splits.calibration) == splits.report.calibration == 10
    everywhere = [text for part in splits.parts().values() for text in part.texts]
    everywhere += [*splits.unlabelled, *splits.calibration]
    assert len(set(everywhere)) == 110
    copies = {text for text in data.texts[:2] if text in everywhere}
    assert copies <= {*splits.unlabelled}
    assert split_data(data, config, 3).fingerprint == splits.fingerprint
    assert replace(splits, calibration=()).fingerprint != splits.fingerprint
