"""Texts of any size cost a check a bounded amount, and texts that are not stored are judged by what was measured."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring.champion import find_champion
from monitoring.commands.queue import draw
from monitoring.errors import MonitoringError
from monitoring.window import CHECKED_CHARACTERS, read_window
from stores.predictions import Prediction, PredictionStore
from stores.predictions.filters import READ_CHARACTERS, characters_each, fair_length
from stores.predictions.labelled import LIVE_CHARACTERS, count_labelled_texts, labelled_texts
from stores.predictions.redaction import TextForm
from stores.predictions.texts import MEASURED_CHARACTERS, text_features
from stores.settings import SigningSettings
from tests.monitoring.conftest import NOW, WINDOW, House, mistyped, normal
from tests.support.predictions import prediction


def in_form(house: House, form: str, texts: list[str]) -> list[str]:
    """Predictions as a service with STORE_TEXT=`form` keeps them; their ids."""
    ids = house.answer(texts)
    keep = TextForm(form, lambda: "a key")  # type: ignore[arg-type]
    kept = []
    for id_ in ids:
        row = house.store.get(id_)
        assert row is not None
        left_out = ("id", "text_form", "text_hash")
        fresh = {name: getattr(row, name) for name in Prediction.__slots__ if name not in left_out}
        kept.append(keep.apply(Prediction(**fresh)))
    with house.store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM predictions")
    house.store.add(kept)
    return [row.id for row in kept]


def test_features_are_evidentlys() -> None:
    texts = [
        *normal(30)[0], "", " ", "One. Two? Three! E.g. this. Mr. X", "12 34 %&",
        "ÀÉÎ straße ΑΒΓ 漢字 🎉", "A\nB\tC. D",
        "no end", "3.14. What? ", "ALL CAPITALS.", "a" * (MEASURED_CHARACTERS + 5),
        "U.S. law. Mr. Li? ?. x  .\u2003y.\nz?? é.g. q. É. Ab. c.d. e", "a.b.\tc? .? ", ".", "? ",
    ]  # fmt: skip
    ours = [text_features(text) for text in texts]
    theirs = by_evidently([text[:MEASURED_CHARACTERS] or " " for text in texts])
    for name in theirs:
        assert [row[name] for row in ours] == pytest.approx(list(theirs[name])), name
    assert [row["capitals"] for row in ours] == pytest.approx(
        [100 * sum(letter.isupper() for letter in text) / max(1, len(text)) for text in texts], abs=0.01
    )


def by_evidently(texts: list[str]) -> pd.DataFrame:
    from evidently import DataDefinition, Dataset
    from evidently.descriptors import NonLetterCharacterPercentage, SentenceCount, TextLength, WordCount

    definition = DataDefinition(text_columns=["text"])
    data = Dataset.from_pandas(
        pd.DataFrame({"text": texts}),
        data_definition=definition,
        descriptors=[
            TextLength("text", alias="text_length"),
            WordCount("text", alias="word_count"),
            SentenceCount("text", alias="sentence_count"),
            NonLetterCharacterPercentage("text", alias="non_letters"),
        ],
    )
    return data.as_dataframe().drop(columns="text").astype(float)


@pytest.mark.parametrize("form", ["hash", "none"])
def test_drift_is_seen_without_any_text(house: House, form: str) -> None:
    in_form(house, form, mistyped(normal(120)[0], 0.5))
    signals = {signal.name: signal for signal in house.verdict().drift.signals}
    assert signals["confidence"].status == "breach"
    assert signals["text_length"].window_texts == 120
    assert signals["text_length"].status in ("ok", "breach")
    for name in ("text_content", "unseen_words", "language"):
        assert signals[name].status == "insufficient_data"
        assert "not stored" in signals[name].words


def test_redacted_texts_are_compared_as_texts(house: House) -> None:
    in_form(house, "redacted", normal(120)[0])
    verdict = house.verdict()
    assert verdict.status == "ok"
    assert {signal.status for signal in verdict.drift.signals if signal.name != "service_latency"} == {"ok"}


def test_nobody_is_asked_to_label_what_is_not_stored(house: House) -> None:
    in_form(house, "none", normal(60)[0])
    champion = find_champion(house.registry, house.tracking, SigningSettings())
    with pytest.raises(MonitoringError, match=r"60 predictions.*not stored"):
        draw(house.store, champion, *WINDOW, size=10, rng=np.random.default_rng(0))


def test_large_texts_are_cut_where_they_are_read(house: House) -> None:
    size = 2_000_000
    texts, labels = normal(60)
    ids = house.answer([f"{text} " for text in texts], labels=labels)
    with house.store.writing() as connection:
        for id_ in ids:
            connection.exec_driver_sql(
                "UPDATE predictions SET text = text || replace(hex(zeroblob(?)), '00', 'ab cd ') WHERE id = ?",
                (size // 6, id_),
            )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    champion = find_champion(house.registry, house.tracking, SigningSettings())
    window = read_window(house.store, champion, *WINDOW, max_texts=2000)
    assert {len(row.text) for row in window.distinct} == {MEASURED_CHARACTERS}
    assert window.cut == 60
    drawn = draw(house.store, champion, *WINDOW, size=10, rng=np.random.default_rng(0))[2]
    assert max(len(row.text) for row in drawn.values()) == MEASURED_CHARACTERS
    live = labelled_texts(house.store, *WINDOW, model_name=champion.model.name, per_label=500)
    assert {len(row.text) for row in live} == {LIVE_CHARACTERS}
    assert all(row.cut for row in live)
    assert count_labelled_texts(house.store, *WINDOW, model_name=champion.model.name) == 60
    assert house.store.outcomes(*WINDOW)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 60, f"{grown:.0f} MiB for 120 MB of texts, of which 8 MB are read"
    verdict = house.verdict()
    assert any("characters or more" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("lengths", "total", "fair"),
    [([1, 2, 3], 100, 3), ([10, 10, 10], 15, 5), ([1, 100, 100], 21, 10), ([], 10, 1), ([5, 5], 1, 1)],
)
def test_short_texts_stay_whole_when_long_ones_are_cut(lengths: list[int], total: int, fair: int) -> None:
    assert fair_length(lengths, total) == fair


def test_a_window_of_many_texts_reads_no_more_than_its_share() -> None:
    assert characters_each(10) == MEASURED_CHARACTERS
    for rows in (2000, 20_000, 200_000):
        assert rows * characters_each(rows) <= READ_CHARACTERS
    assert CHECKED_CHARACTERS < READ_CHARACTERS


def test_forgetting_reads_one_text_at_a_time(tmp_path: Path) -> None:
    from stores.predictions.retention import Policy, Retention

    store = PredictionStore.open(f"sqlite:///{tmp_path / 'predictions.db'}")
    store.add([prediction("x" * 4_000_000, created_at=1.0) for _ in range(20)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = Retention(store, Policy(redact_before=10.0)).forget(
        lambda text: f"hmac-sha256:{len(text)}", now=NOW
    )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert done.redacted == 20
    assert grown < 40, f"{grown:.0f} MiB"
    assert {row.text_hash for row in store.window(0, 10.0)} == {"4000000"}
    store.close()
