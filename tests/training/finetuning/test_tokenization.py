"""Texts are tokenised once, and the cache can be trusted and does not grow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from training.data import Part
from training.finetuning.tokenization import encoded_part

LABELS = ("no", "yes")
PART = Part(["A short text.", "Another text, which is rather longer.", "Third"], ["yes", "no", "yes"])


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if not path.name.startswith("."))


def made_at(entry: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in entry.iterdir()}


def test_tokens_are_kept_as_arrow_and_read_again(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    first = encoded_part(PART, LABELS, tokenizer, 8, tmp_path)
    (entry,) = entries(tmp_path)
    written = made_at(entry)
    # Whatever was tokenised meanwhile, with other cuts and padding.
    tokenizer(["one", "two words"], padding="max_length", truncation=True, max_length=5)
    again = encoded_part(PART, LABELS, tokenizer, 8, tmp_path)
    assert made_at(entry) == written
    assert first.to_list() == again.to_list()
    for row, text, label in zip(again, PART.texts, (1, 0, 1), strict=True):
        expected = tokenizer(text, truncation=True, max_length=8)
        assert row["input_ids"] == expected["input_ids"]
        assert row["length"] == len(expected["input_ids"]) <= 8
        assert row["labels"] == label
    assert Dataset.load_from_disk(str(entry)).to_list() == again.to_list()


def test_what_tokens_follow_from_makes_another_entry(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    encoded_part(PART, LABELS, tokenizer, 8, tmp_path)
    encoded_part(PART, LABELS, tokenizer, 6, tmp_path)
    encoded_part(PART, LABELS[::-1], tokenizer, 8, tmp_path)
    encoded_part(Part(PART.texts, ["no", "no", "yes"]), LABELS, tokenizer, 8, tmp_path)
    assert len(entries(tmp_path)) == 4


@pytest.mark.parametrize("damage", ["flipped", "cut", "no hashes", "not a folder of data"])
def test_a_damaged_entry_is_made_anew(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, damage: str
) -> None:
    expected = encoded_part(PART, LABELS, tokenizer, 8, tmp_path).to_list()
    (entry,) = entries(tmp_path)
    (data,) = entry.glob("*.arrow")
    content = bytearray(data.read_bytes())
    if damage == "flipped":
        place = content.index(expected[1]["input_ids"][1].to_bytes(4, "little"))
        content[place] ^= 1
        data.write_bytes(content)
    elif damage == "cut":
        data.write_bytes(content[: len(content) // 2])
    elif damage == "no hashes":
        (entry / "sha256.json").unlink()
    else:
        for path in entry.iterdir():
            path.unlink()
    assert encoded_part(PART, LABELS, tokenizer, 8, tmp_path).to_list() == expected
    assert entries(tmp_path) == [entry]


def test_the_cache_is_bounded(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    for age, max_length in ((30, 8), (20, 9), (10, 10)):
        encoded_part(PART, LABELS, tokenizer, max_length, tmp_path)
        newest = max(entries(tmp_path), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (newest.stat().st_mtime - age * 3600,) * 2)
    size = sum(path.stat().st_size for path in newest.iterdir())
    by_age = sorted(entries(tmp_path), key=lambda path: path.stat().st_mtime)
    encoded_part(PART, LABELS, tokenizer, 11, tmp_path, limit=size + 50)
    left = set(entries(tmp_path))
    assert by_age[2] in left, "the one used last stays beside the new one"
    assert not left & set(by_age[:2])
