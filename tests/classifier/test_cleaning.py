"""Links and mentions are taken out of a text before the model reads it, where the bundle says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from classifier import BundleDamaged, Classifier, Description, seal_bundle
from classifier.cleaning import TextCleaning
from classifier.description import DESCRIPTION_FILE
from tests import golden_messages as messages

CLEANING = TextCleaning(links="", mentions="@user")
CLEAN = "Shares fell in London."
SENT = "@anna Shares fell in London. https://t.co/Ab1?x=2 www.a.org/film-music-band-album-oscar-actor"
READ = "@user Shares fell in London."


@pytest.mark.parametrize(
    ("text", "links", "mentions"),
    [
        ("see https://t.co/x, now", "see , now", "see https://t.co/x, now"),
        ("(WWW.example.org/a?b=c).", "( ).", "(WWW.example.org/a?b=c)."),
        ("photo: pic.twitter.com/Ab12", "photo:", "photo: pic.twitter.com/Ab12"),
        ("gluedhttp://a.bc/d end", "glued end", "gluedhttp://a.bc/d end"),
        ("@anna: thanks", "@anna: thanks", ": thanks"),
        (
            "to @anna_b, @115712 and @c@social.example!",
            "to @anna_b, @115712 and @c@social.example!",
            "to , and !",
        ),
        ("mail anna@example.org", "mail anna@example.org", "mail anna@example.org"),
        ("5 @ 3 each, http:// alone", "5 @ 3 each, http:// alone", "5 @ 3 each, http:// alone"),
        ("two  blanks stay", "two  blanks stay", "two  blanks stay"),
        ("line\nhttps://a.bc\nline", "line\n \nline", "line\nhttps://a.bc\nline"),
    ],
)
def test_what_is_a_link_and_what_is_a_mention(text: str, links: str, mentions: str) -> None:
    assert TextCleaning(links=True).apply(text) == links  # type: ignore[arg-type]
    assert TextCleaning(mentions=True).apply(text) == mentions  # type: ignore[arg-type]
    assert TextCleaning().apply(text) == text


@given(
    st.lists(
        st.sampled_from(
            ["@", "\uff20", "a", "b.c", "http://", "www.", "t.co/", "pic.twitter.com/", " ", "\n", ".", ",", "(", "é"]
        ),
        max_size=14,
    ).map("".join),
    st.sampled_from([None, "", "<url>", "http"]),
    st.sampled_from([None, "", "@user", "user"]),
)  # fmt: skip
def test_cleaning_twice_changes_nothing(text: str, links: str | None, mentions: str | None) -> None:
    cleaning = TextCleaning(links=links, mentions=mentions)
    once = cleaning.apply(text)
    assert cleaning.apply(once) == once


def test_a_replacement_that_would_be_replaced_is_refused() -> None:
    with pytest.raises(ValidationError, match=messages.REPLACEMENT_IS_REPLACED):
        TextCleaning(links="@link", mentions="@user")
    assert TextCleaning(links=False, mentions=True) == TextCleaning(mentions="")  # type: ignore[arg-type]
    assert not TextCleaning().changes


def _cleaning_bundle(model: Classifier, folder: Path) -> Classifier:
    shutil.copytree(model.folder, folder)
    description = Description.read(folder).model_copy(update={"clean": CLEANING})
    return seal_bundle(folder, description, golden_texts=[SENT, CLEAN], data={})


def test_the_model_reads_cleaned_text_and_the_original_is_kept(any_model: Classifier, tmp_path: Path) -> None:
    cleaning = _cleaning_bundle(any_model, tmp_path / "bundle")
    assert CLEANING.apply(SENT) == READ
    np.testing.assert_array_equal(cleaning.predict([SENT]), any_model.predict([READ]))
    assert not np.array_equal(any_model.predict([SENT]), any_model.predict([READ]))
    (encoded,), (read,) = cleaning.encode([SENT]), any_model.encode([READ])
    assert (encoded.text, encoded.read) == (SENT, READ)
    assert (encoded.ids, encoded.tokens, encoded.truncated) == (read.ids, read.tokens, read.truncated)
    nothing_left = cleaning.predict(["https://t.co/x"])
    np.testing.assert_array_equal(nothing_left, any_model.predict([""]))


def test_the_bundle_checks_itself_with_texts_as_they_are_sent(any_model: Classifier, tmp_path: Path) -> None:
    cleaning = _cleaning_bundle(any_model, tmp_path / "bundle")
    golden = json.loads((cleaning.folder / "golden.json").read_text(encoding="utf-8"))
    assert [row["text"] for row in golden["texts"]] == [SENT, CLEAN]
    again = Classifier.load(cleaning.folder)
    assert again.description.clean == CLEANING
    np.testing.assert_allclose(again.predict([SENT])[0], golden["texts"][0]["probabilities"], atol=1e-5)


def test_a_bundle_that_cleans_nothing_is_written_as_before(any_model: Classifier, tmp_path: Path) -> None:
    description = any_model.description
    description.write(tmp_path)
    written = json.loads((tmp_path / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    assert "clean" not in written  # releases that do not know the key refuse it
    assert Description.read(tmp_path) == description
    (tmp_path / DESCRIPTION_FILE).write_text(json.dumps(written | {"clean": {"links": 5}}), encoding="utf-8")
    with pytest.raises(BundleDamaged):
        Description.read(tmp_path)
