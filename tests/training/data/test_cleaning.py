"""`data.clean`: texts are learned without links and mentions, and their originals are kept for what is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier.cleaning import TextCleaning
from tests import golden_messages as messages
from training.config.data import ChecksConfig, LiveConfig
from training.data import DataConfig, DataRefused, Part, load_data, split_data
from training.data.loading import read_texts
from training.pipeline.register import _golden_texts

CLEAN = TextCleaning(links="", mentions="@user")


def _written(path: Path, texts: list[str]) -> DataConfig:
    Part(texts, ["a" if number % 2 else "b" for number in range(len(texts))]).write_jsonl(path)
    return DataConfig(source=str(path), clean=CLEAN, checks=ChecksConfig(language_texts=0))


def _tweets(count: int) -> list[str]:
    return [f"@u{n} about subject {n * 7 % 97} and {n * 13 % 89} https://t.co/{n}" for n in range(count)]


def test_texts_are_learned_cleaned_and_kept_as_they_were(tmp_path: Path) -> None:
    tweets = [*_tweets(80), "nothing to take out of number 80", "nothing to take out of number 81"]
    config = _written(tmp_path / "a.jsonl", tweets)
    loaded = load_data(config, 1)
    assert loaded.texts[1] == "@user about subject 7 and 13"
    assert loaded.part.originals == tweets
    assert [row.number for row in loaded.part.source_rows] == list(range(1, 83))
    splits = split_data(loaded, config, 1)
    assert splits.cleaning == CLEAN
    for part in splits.parts().values():
        assert [CLEAN.apply(text) for text in part.originals] == part.texts
    plain = config.model_copy(update={"clean": TextCleaning()})
    assert split_data(load_data(plain, 1), plain, 1).cleaning is None
    assert load_data(plain, 1).part.fingerprint == Part(tweets, loaded.labels).fingerprint
    assert read_texts(config)[0] == loaded.texts[0]


def test_copies_but_for_their_links_are_copies(tmp_path: Path) -> None:
    config = _written(
        tmp_path / "a.jsonl", [*_tweets(40), "same https://t.co/1", "other", "same https://t.co/2"]
    )
    assert load_data(config, 1).counts.exact_duplicates == 1


def test_texts_of_which_nothing_is_left_are_counted_apart(tmp_path: Path) -> None:
    config = _written(tmp_path / "a.jsonl", [*_tweets(60), "https://t.co/1", " http://a.bc/d "]).model_copy(
        update={"clean": TextCleaning(links="")}
    )
    counts = load_data(config, 1).counts
    assert (counts.empty, counts.cleaned_away, counts.refused) == (0, 2, 2)
    assert counts.examples == {"cleaned_away": [61, 62]}
    with pytest.raises(DataRefused, match=messages.TEXTS_CLEANED_AWAY):
        load_data(config.model_copy(update={"max_refused": 0.01}), 1)


def test_live_texts_are_cleaned_as_the_source_is(tmp_path: Path) -> None:
    config = _written(tmp_path / "a.jsonl", _tweets(60))
    live = [f"@u{n} live text {n} on matter {n * 11 % 83} https://t.co/live{n}" for n in range(40)]
    Part([*live, "https://t.co/x"], ["a", "b"] * 20 + ["a"]).write_jsonl(tmp_path / "live.jsonl")
    config = config.model_copy(
        update={
            "live": LiveConfig(source=str(tmp_path / "live.jsonl")),
            "clean": TextCleaning(links="", mentions=""),
        }
    )
    loaded = load_data(config, 1)
    assert loaded.live is not None
    assert loaded.live.counts.unusable == 1
    assert sorted(loaded.live.part.originals) == sorted(live)
    assert all("@" not in text and "http" not in text for text in loaded.live.part.texts)
    splits = split_data(loaded, config, 1)
    originals = [splits.test.originals[index] for index in splits.test.live]
    assert originals
    assert set(originals) <= set(live)


def test_golden_texts_are_originals_and_show_the_cleaning(tmp_path: Path) -> None:
    config = _written(tmp_path / "a.jsonl", ["plain b", "plain a", *_tweets(10)])
    golden = _golden_texts(load_data(config, 1).part)
    assert golden == [_tweets(10)[1], _tweets(10)[0]]
