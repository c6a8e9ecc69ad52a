"""Live texts among the data: from the store or a file, each once, capped, held out in part, and none in two parts."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stores.predictions import PredictionStore
from stores.predictions.queue import Batch, Chosen, LabelQueue
from stores.predictions.redaction import TextForm
from stores.settings import PredictionSettings
from tests import golden_messages as messages
from tests.support.predictions import prediction
from training.config.data import LiveConfig
from training.data import DataConfig, LoadedData, Part, RowCounts, Splits, load_data, split_data
from training.data.dataset import EARLIER, LIVE, SOURCE
from training.data.deduplication import near_duplicate_groups
from training.data.live import LiveRow, select_live
from training.errors import DataRefused

WORDS = [f"word{number}" for number in range(400)]


def sentences(count: int, seed: int, words: int = 12) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(count)]


SOURCE_TEXTS = Part(sentences(400, 0), ["tech", "sport"] * 200)


def divided(live: list[tuple[str, str]], seed: int = 5, **config: object) -> tuple[Splits, LoadedData]:
    wanted = DataConfig(live=LiveConfig(**config))  # type: ignore[arg-type]
    assert wanted.live is not None
    rows = [LiveRow(text, label, LIVE) for text, label in live]
    chosen = select_live(rows, SOURCE_TEXTS, wanted.live.per_class, len(rows))
    loaded = LoadedData("made up", SOURCE_TEXTS, RowCounts(read=400), live=chosen)
    return split_data(loaded, wanted, seed), loaded


def test_live_texts_are_split_and_the_source_parts_stay() -> None:
    live = list(zip(sentences(400, 1), ["tech", "sport"] * 200, strict=True))
    plain = split_data(LoadedData("made up", SOURCE_TEXTS, RowCounts(read=400)), DataConfig(), 5)
    splits, _ = divided(live, test=0.3, validation=0.2)

    for name, part in splits.parts().items():
        own = part.rows([row for row, origin in enumerate(part.origins) if origin == SOURCE])
        assert own.fingerprint == plain.parts()[name].fingerprint
    counts = {name: len(part.live) for name, part in splits.parts().items()}
    assert sum(counts.values()) == 400
    assert counts["holdout"] == 0
    assert counts["test"] == pytest.approx(120, abs=35)
    assert counts["validation"] == pytest.approx(80, abs=30)
    facts = splits.report.live_facts()
    assert (facts["live_texts"], facts["live_test"], facts["live_read"]) == (400, counts["test"], 400)
    assert splits.report.as_dict()["live"]["parts"]["test"] == Counter(
        splits.test.labels[row] for row in splits.test.live
    )
    assert splits.fingerprint != plain.fingerprint


def test_a_held_out_text_stays_held_out() -> None:
    live = list(zip(sentences(200, 2), ["tech", "sport"] * 100, strict=True))
    few, many = divided(live[:60])[0], divided(live[::-1])[0]
    for name in ("train", "validation", "test"):
        first = {few.parts()[name].texts[row] for row in few.parts()[name].live}
        later = {many.parts()[name].texts[row] for row in many.parts()[name].live}
        assert first
        assert first < later


def test_no_copy_of_a_text_stands_in_two_parts() -> None:
    plain = split_data(LoadedData("made up", SOURCE_TEXTS, RowCounts(read=400)), DataConfig(), 5)
    taught, held = plain.train, plain.test
    new = sentences(40, 3, words=40)
    live = [
        (taught.texts[0], taught.labels[0]),  # a copy
        (held.texts[0].replace(" ", "  "), held.labels[0]),  # a copy, but for white space
        (held.texts[1] + " again", held.labels[1]),  # a near copy of a held-out text
        *[
            (taught.texts[n] + " again", taught.labels[n]) for n in range(1, 20)
        ],  # near copies of learned ones
        *[(text + tail, "tech") for text in new for tail in (" and", " but")],  # near copies of each other
    ]
    splits, loaded = divided(live)

    assert loaded.live is not None
    assert loaded.live.counts.exact_duplicates == 2
    assert loaded.live.counts.near_held_out == 1
    assert len(splits.train.live) == 19 + 80, "near copies are all learned from"
    assert not splits.test.live
    every = [(name, text) for name, part in splits.parts().items() for text in part.texts]
    for group in near_duplicate_groups([text for _, text in every], 0.8):
        assert {every[number][0] for number in group} == {"train"}


def test_contradicting_copies_are_dropped_everywhere() -> None:
    plain = split_data(LoadedData("made up", SOURCE_TEXTS, RowCounts(read=400)), DataConfig(), 5)
    other = {"tech": "sport", "sport": "tech"}
    held, label = plain.test.texts[0], plain.test.labels[0]
    first, second = sentences(2, 4)
    splits, loaded = divided(
        [(held, other[label]), (first, "tech"), (first, "sport"), (second, "tech"), (second, "weather")]
    )

    assert loaded.live is not None
    counts = loaded.live.counts
    assert (counts.conflicting_labels, counts.contradicted, counts.unknown_label) == (3, 1, 1)
    every = [text for part in splits.parts().values() for text in part.texts]
    assert held not in every
    assert first not in every
    assert second in every, "a label that is no class of the source is left out, and contradicts nothing"
    assert len(every) == 400


def test_the_newest_of_a_class_are_kept() -> None:
    live = list(zip(sentences(30, 6), ["tech"] * 20 + ["sport"] * 10, strict=True))
    splits, loaded = divided(live, per_class=12)
    assert loaded.live is not None
    assert loaded.live.counts.over_the_cap == 8
    assert loaded.live.part.texts == [text for text, _ in live[:12] + live[20:]]
    assert splits.report.live_facts()["live_over_the_cap"] == 8


def test_the_store_gives_current_labels_and_recent_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    texts = sentences(8, 7)
    rows = [prediction(text, created_at=1000.0 * n) for n, text in enumerate(texts[:6], 1)]
    rows += [
        prediction(texts[6], created_at=6500, model_name="other"),
        prediction(texts[7], created_at=6600, source="canary"),
        prediction(texts[5], created_at=6700),  # asked again
    ]
    store = PredictionStore.open(PredictionSettings().url)
    store.add(rows)
    store.add_feedback({row.id: "tech" for row in rows if row.text != texts[4]}, at=9000)
    store.add_feedback({rows[3].id: "sport"}, at=9500)
    store.close()

    config = LiveConfig(since=_at(1500), until=_at(7000), traffic_since=_at(3500), model_name="news")
    live = load_data(_file_of(SOURCE_TEXTS, tmp_path, config), 5).live

    assert live is not None
    assert list(zip(live.part.texts, live.part.labels, live.part.origins, strict=True)) == [
        (texts[5], "tech", LIVE),
        (texts[3], "sport", LIVE),
        (texts[2], "tech", EARLIER),
        (texts[1], "tech", EARLIER),
    ]
    assert (live.counts.read, live.counts.exact_duplicates) == (5, 1)


def test_held_out_queue_texts_represent_the_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch as the queue draws it: hard texts were five times as likely to be chosen as easy ones."""
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    easy, hard = sentences(240, 11), [text.upper() for text in sentences(160, 12)]
    rows = [prediction(text, created_at=1000.0) for text in [*easy, *hard]]
    unasked = [prediction(text, created_at=1000.0) for text in sentences(200, 13)]
    chances = [0.05] * 240 + [0.25] * 160
    store = PredictionStore.open(PredictionSettings().url)
    store.add([*rows, *unasked])
    store.add_feedback({row.id: "tech" for row in [*rows, *unasked]})
    queue = LabelQueue(store)
    chosen = [Chosen(row.id, chance, "random") for row, chance in zip(rows, chances, strict=True)]
    queue.add(Batch("news", "1", 0, 2000, 6000, id="first"), chosen)
    queue.add(
        Batch("news", "1", 0, 2000, 6000, id="second"), [Chosen(chosen[0].prediction_id, 0.001, "random")]
    )
    store.close()

    config = _file_of(SOURCE_TEXTS, tmp_path, LiveConfig(per_class=1000))
    splits = split_data(load_data(config, 5), config, 5)

    held_out = [text for part in (splits.test, splits.validation) for text in part.texts]
    counts = [len(set(texts) & set(held_out)) for texts in (easy, hard, (row.text for row in unasked))]
    # 240 easy and 160 / 5 hard ones are an even sample; it is 68 % of the batch, so 50 % / 0.68 of it are held out.
    assert counts[0] / 240 == pytest.approx(0.5 / 0.68, abs=0.1)
    assert counts[1] / 160 == pytest.approx(0.5 / 0.68 / 5, abs=0.06)
    assert counts[2] / 200 == pytest.approx(0.5, abs=0.1), "nobody knows how likely they were: as they come"


def test_a_repeated_text_is_held_out_no_more_often() -> None:
    rows = [LiveRow("said again", "tech", LIVE, 1.6), LiveRow("said again", "tech", LIVE, 0.1)]
    assert select_live(rows, SOURCE_TEXTS, 10, 2).held_out == [0.1]


def test_a_file_of_labelled_texts_works_and_keeps_origins(tmp_path: Path) -> None:
    file = tmp_path / "labelled.jsonl"
    live = list(zip(sentences(40, 8), ["tech", "sport"] * 20, strict=True))
    lines = [json.dumps({"text": text, "label": label}) for text, label in live]
    file.write_text(
        "\n".join([*lines, "no JSON", json.dumps({"text": "", "label": "tech"})]), encoding="utf-8"
    )

    config = _file_of(SOURCE_TEXTS, tmp_path, LiveConfig(source=str(file)))
    loaded = load_data(config, 5)
    splits = split_data(loaded, config, 5)

    assert loaded.live is not None
    assert loaded.live.part.texts == [text for text, _ in live[::-1]]
    assert (loaded.live.counts.read, loaded.live.counts.unusable) == (42, 2)
    again = Part.read_jsonl(splits.train.write_jsonl(tmp_path / "train.jsonl"))
    assert again == splits.train
    assert set(again.origins) == {SOURCE, LIVE}


def test_shares_that_leave_nothing_to_learn_from_are_refused() -> None:
    with pytest.raises(ValueError, match=messages.LIVE_SHARES_TOO_LARGE):
        LiveConfig(validation=0.4, test=0.7)


def _file_of(part: Part, folder: Path, live: LiveConfig) -> DataConfig:
    return DataConfig(source=str(part.write_jsonl(folder / "source.jsonl")), live=live)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_labels_without_stored_texts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    form = TextForm("hash", lambda: "a key")
    rows = [form.apply(prediction(text, created_at=1000.0)) for text in sentences(5, 3)]
    store = PredictionStore.open(PredictionSettings().url)
    store.add(rows)
    store.add_feedback({row.id: "tech" for row in rows})
    config = _file_of(SOURCE_TEXTS, tmp_path, LiveConfig())
    with pytest.raises(DataRefused, match=messages.NO_LIVE_TEXTS):
        load_data(config, 5)
    stored = prediction("A text that is there.", created_at=1000.0)
    store.add([stored])
    store.add_feedback({stored.id: "tech"})
    store.close()
    live = load_data(config, 5).live
    assert live is not None
    assert (live.counts.read, live.counts.without_text) == (1, 5)
