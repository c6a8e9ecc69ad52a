"""The reference profile: written beside the model, read by monitoring."""

from pathlib import Path

import pandas as pd
import pytest

from classifier import BundleDamaged, BundleIncomplete, Classifier
from classifier.reference import COLUMNS, read_reference, reference_frame, write_reference
from tests import golden_messages as messages
from tests.support.bundles import bbc_part


def test_what_the_model_said_of_held_out_texts(tfidf: Classifier) -> None:
    frame = read_reference(tfidf.folder)
    texts, labels = bbc_part(1)
    assert tuple(frame.columns) == (*COLUMNS, *(f"p_{label}" for label in tfidf.labels))
    assert list(frame["text"]) == texts
    assert list(frame["label"]) == labels
    probabilities = frame[[f"p_{label}" for label in tfidf.labels]]
    assert (probabilities.sum(axis=1) - 1).abs().max() < 1e-5
    assert (probabilities.max(axis=1) == frame["confidence"]).all()
    assert (probabilities.idxmax(axis=1) == "p_" + frame["predicted"]).all()
    assert (frame["predicted"] == frame["label"]).mean() > 0.9


def test_a_frame_survives_the_file(tfidf: Classifier, tmp_path: Path) -> None:
    texts = ["one text", "another, longer text"]
    frame = reference_frame(texts, ["tech", "sports"], tfidf.classify(texts), tfidf.labels)
    write_reference(tmp_path, frame)
    pd.testing.assert_frame_equal(read_reference(tmp_path), frame)


def test_refusals_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(BundleIncomplete, match=messages.REFERENCE_MISSING):
        read_reference(tmp_path)
    (tmp_path / "reference.parquet").write_bytes(b"no parquet")
    with pytest.raises(BundleDamaged, match=messages.REFERENCE_UNREADABLE):
        read_reference(tmp_path)
    pd.DataFrame({"text": ["a"]}).to_parquet(tmp_path / "reference.parquet")
    with pytest.raises(BundleDamaged, match=messages.REFERENCE_WITHOUT_COLUMN):
        read_reference(tmp_path)
