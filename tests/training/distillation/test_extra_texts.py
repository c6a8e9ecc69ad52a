"""Texts without labels: never one that is held out, the same for the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.config.distillation import ExtraTextsConfig
from training.data import DataConfig, Splits
from training.distillation.student import extra_texts


def test_none_unless_asked_for(splits: Splits) -> None:
    assert extra_texts(ExtraTextsConfig(), splits, 1) == []


def test_no_held_out_text_and_no_near_copy_of_one(tmp_path: Path, splits: Splits) -> None:
    held_out, reserved = splits.test.texts[0], splits.holdout.texts[0]
    new = "Nobody has read this sentence about a ferry, a lighthouse and nine patient gulls."
    rows = [held_out, f"{reserved} Indeed.", splits.train.texts[0], new, f" {new} ", ""]
    path = tmp_path / "unlabelled.jsonl"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in rows), encoding="utf-8")
    source = DataConfig(source=str(path), text_column="body")
    assert extra_texts(ExtraTextsConfig(source=source), splits, 1) == [new]


def test_altered_copies_are_runs_of_the_training_texts(splits: Splits) -> None:
    config = ExtraTextsConfig(copies=2, left_out=0.2, shortest=0.5)
    copies = extra_texts(config, splits, 1)
    assert copies == extra_texts(config, splits, 1) != extra_texts(config, splits, 2)
    assert len(copies) == 2 * len(splits.train)
    for text, copy in zip([*splits.train.texts] * 2, copies, strict=True):
        words = iter(text.split())
        assert all(word in words for word in copy.split()), "in the order of the text"
    lengths = [
        len(copy.split()) / len(text.split()) for copy, text in zip(copies, splits.train.texts, strict=False)
    ]
    assert 0.3 < min(lengths) < max(lengths) < 1
    assert sum(lengths) / len(lengths) == pytest.approx(0.75 * 0.8, abs=0.08)


def test_whole_copies_with_nothing_left_out_are_the_texts(splits: Splits) -> None:
    config = ExtraTextsConfig(copies=1, left_out=0.0, shortest=1.0)
    assert extra_texts(config, splits, 1) == [" ".join(text.split()) for text in splits.train.texts]
