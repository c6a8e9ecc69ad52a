"""The data that the quickstart really trains on: schema, duplicates, leaks."""

import io
import json
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from rich.console import Console

from training.data import DataConfig, LoadedData, Splits, load_data, split_data
from training.data.deduplication import jaccard, shingles
from training.data.plots import write_data_pictures

TOPICS = ("business", "entertainment", "politics", "sports", "tech")


def test_schema(bbc: LoadedData) -> None:
    assert bbc.counts.read == 2225
    assert bbc.counts.refused == 0
    assert set(bbc.labels) == set(TOPICS)
    assert all(text and text == text.strip() for text in bbc.texts)


def test_the_one_file_in_latin_1_is_read_and_counted(bbc: LoadedData) -> None:
    assert bbc.counts.recoded == 1
    (mutu,) = (text for text in bbc.texts if text.startswith("Chelsea sack Mutu"))
    assert "£15.8m" in mutu
    assert not any("�" in text for text in bbc.texts)


def test_first_line_is_the_headline(bbc: LoadedData) -> None:
    assert bbc.texts[0].splitlines()[0] == "Ad sales boost Time Warner profit"


def test_every_text_stands_once(bbc: LoadedData) -> None:
    keys = [" ".join(text.split()) for text in bbc.texts]
    assert len(set(keys)) == len(keys) == 2225 - bbc.counts.exact_duplicates - bbc.counts.conflicting_labels
    assert bbc.counts.exact_duplicates > 90  # the collection is known to repeat itself


def test_parts_have_their_shares_of_each_class(bbc: LoadedData, bbc_splits: Splits) -> None:
    shares = DataConfig().split.shares()
    assert sum(len(part) for part in bbc_splits.parts().values()) == len(bbc)
    for topic in TOPICS:
        total = bbc.labels.count(topic)
        for name, part in bbc_splits.parts().items():
            assert part.labels.count(topic) == pytest.approx(total * shares[name], abs=1)
    assert bbc_splits.labels == TOPICS


def test_no_near_copy_of_any_text_stands_in_another_part(bbc_splits: Splits) -> None:
    """Every pair of texts of different parts, by their true similarity, with no help from hashing tricks."""
    parts = {name: [shingles(text) for text in part.texts] for name, part in bbc_splits.parts().items()}
    for left, right in combinations(parts, 2):
        vocabulary, sizes = _incidence(parts[left])
        worst = 0.0
        for found in parts[right]:
            shared = np.zeros(len(sizes), dtype=int)
            for shingle in found.tolist():
                for row in vocabulary.get(shingle, ()):
                    shared[row] += 1
            worst = max(worst, float((shared / (sizes + len(found) - shared)).max()))
        assert worst < 0.8, (left, right)


def _incidence(texts: list[np.ndarray]) -> tuple[dict[int, list[int]], np.ndarray]:
    vocabulary: dict[int, list[int]] = {}
    for row, found in enumerate(texts):
        for shingle in found.tolist():
            vocabulary.setdefault(shingle, []).append(row)
    return vocabulary, np.asarray([len(found) for found in texts])


def test_held_out_parts_hold_no_near_copies_among_themselves(bbc_splits: Splits) -> None:
    assert bbc_splits.report.near_duplicates > 0
    found = [shingles(text) for text in bbc_splits.test.texts]
    assert max(jaccard(left, right) for left, right in combinations(found, 2)) < 0.8


def test_another_process_with_another_hash_seed_divides_alike(bbc_splits: Splits) -> None:
    code = (
        "from training.data import *; c = DataConfig(); print(split_data(load_data(c, 7), c, 7).fingerprint)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "99", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == bbc_splits.fingerprint


def test_another_seed_finds_the_same_copies(bbc: LoadedData, bbc_splits: Splits) -> None:
    other = split_data(bbc, DataConfig(), 8)
    assert other.fingerprint != bbc_splits.fingerprint
    assert other.report.near_duplicates == bbc_splits.report.near_duplicates


def test_limit_draws_each_class_in_proportion() -> None:
    config = DataConfig(limit=200)
    loaded = load_data(config, 1)
    assert len(loaded) == 200
    assert loaded.counts.left_out == 2225 - loaded.counts.exact_duplicates - 200
    for topic, expected in {"business": 47.3, "tech": 32.7}.items():
        assert loaded.labels.count(topic) == pytest.approx(expected, abs=1)
    assert load_data(config, 1).part.fingerprint == loaded.part.fingerprint
    assert load_data(config, 2).part.fingerprint != loaded.part.fingerprint


def test_report_is_json_and_a_table(bbc_splits: Splits) -> None:
    report = json.loads(json.dumps(bbc_splits.report.as_dict()))
    assert report["parts"]["test"]["texts"] == len(bbc_splits.test)
    assert sum(report["parts"]["train"]["classes"].values()) == len(bbc_splits.train)
    assert report["parts"]["train"]["fingerprint"] == bbc_splits.train.fingerprint
    words = report["parts"]["train"]["words"]
    assert words["min"] <= words["median"] <= words["max"]
    console = Console(width=120, file=io.StringIO())
    console.print(bbc_splits.report)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "entertainment" in shown
    assert "words, median" in shown


def test_pictures(bbc_splits: Splits, tmp_path) -> None:
    paths = write_data_pictures(bbc_splits.report, tmp_path / "pictures")
    assert [path.name for path in paths] == ["class_balance.png", "text_lengths.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
