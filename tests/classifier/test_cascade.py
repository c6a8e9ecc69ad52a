"""Cascades: which stage answers, what the answer is, and bundles that are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from classifier import BundleDamaged, BundleIncomplete, Classifier
from classifier.precision import load_fastest
from classifier.runtimes.cascade import CASCADE_FILE, STAGES_FOLDER, CascadeDescription, CascadeModel
from tests.support.bundles import bbc_part

ARTICLES = bbc_part(1)[0][:60]
STRANGE = "zxqv plonk wibble"
"""No term that the linear stage knows."""


def test_the_linear_stage_answers_what_it_is_sure_of(cascade: Classifier) -> None:
    found = cascade.classify([*ARTICLES, STRANGE])
    assert cascade.stages == ("static_linear", "minilm")
    assert found.stages[-1] == 1
    early = found.stages == 0
    assert 0.5 < early.mean() < 1
    linear = Classifier.load(cascade.folder / STAGES_FOLDER / "static_linear", verify=False)
    sure = linear.predict([*ARTICLES, STRANGE])
    assert (early == (sure.max(axis=1) >= 0.6)).all()
    np.testing.assert_allclose(found.probabilities[early], sure[early], atol=1e-5)


def test_the_rest_gets_the_weighted_answer_of_both(cascade: Classifier, network: Classifier) -> None:
    found = cascade.classify([STRANGE]).probabilities
    linear = Classifier.load(cascade.folder / STAGES_FOLDER / "static_linear", verify=False)
    logits = 0.9 * np.log(linear.predict([STRANGE])) + 0.1 * np.log(network.predict([STRANGE]))
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_all_stages_run_where_that_is_asked_for(cascade: Classifier) -> None:
    found = cascade.classify(ARTICLES, all_stages=True)
    assert set(found.stages) == {1}
    assert np.abs(found.probabilities - cascade.predict(ARTICLES)).max() > 0.01


def test_an_early_answer_is_known_once_a_text_is_encoded(cascade: Classifier) -> None:
    encoded = cascade.encode([*ARTICLES, STRANGE])
    assert [item.answered for item in encoded] == list(cascade.classify([*ARTICLES, STRANGE]).stages == 0)
    assert {item.cost for item in encoded if item.answered} == {1}
    assert not any(item.answered for item in cascade.encode(ARTICLES, all_stages=True))


def test_answers_do_not_depend_on_the_batch(cascade: Classifier) -> None:
    texts = [*ARTICLES[:10], STRANGE]
    together = cascade.predict(texts)
    alone = np.concatenate([cascade.predict([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_tokens_are_those_of_the_last_stage(cascade: Classifier, network: Classifier) -> None:
    found, expected = cascade.classify(ARTICLES), network.classify(ARTICLES)
    assert found.tokens == expected.tokens
    assert found.truncated == expected.truncated


def test_int8_of_the_last_stage_is_chosen_like_any_other(cascade: Classifier, tmp_path: Path) -> None:
    chosen = load_fastest(cascade.folder, precision="float32")
    assert chosen.classifier.stages == cascade.stages
    np.testing.assert_allclose(chosen.classifier.predict(ARTICLES), cascade.predict(ARTICLES), atol=1e-4)


def test_stored_log_probabilities_give_the_same_answers(cascade: Classifier) -> None:
    model = cascade._model
    assert isinstance(model, CascadeModel)
    found = model.stage_log_probabilities(model.encode(ARTICLES, all_stages=True))
    labels, stages = model.answers(found)
    classified = cascade.classify(ARTICLES)
    assert (labels == classified.probabilities.argmax(axis=1)).all()
    assert (stages == classified.stages).all()
    assert set(model.answers(found, 2.0)[1]) == {1}
    assert set(model.answers(found, 0.0)[1]) == {0}


def _changed(folder: Path, key: str, value: object) -> None:
    content = json.loads((folder / CASCADE_FILE).read_text(encoding="utf-8"))
    content["stages"][0][key] = value
    (folder / CASCADE_FILE).write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("thresholds", None),
        ("thresholds", [0.5, 0.5]),
        ("thresholds", [1.5] * 5),
        ("weights", [1.0, 1.0]),
        ("weights", [-1.0]),
        ("name", "../elsewhere"),
        ("name", "minilm"),
    ],
)
def test_an_invalid_description_is_refused(
    cascade: Classifier, tmp_path: Path, key: str, value: object
) -> None:
    folder = Path(shutil.copytree(cascade.folder, tmp_path / "bundle"))
    _changed(folder, key, value)
    with pytest.raises(BundleDamaged, match=CASCADE_FILE):
        Classifier.load(folder, verify=False)


def test_a_missing_stage_is_refused(cascade: Classifier, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(cascade.folder, tmp_path / "bundle"))
    shutil.rmtree(folder / STAGES_FOLDER)
    with pytest.raises(BundleIncomplete, match="static_linear"):
        Classifier.load(folder, verify=False)
    with pytest.raises(BundleIncomplete):
        Classifier.load(folder)


def test_a_damaged_stage_is_noticed(cascade: Classifier, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(cascade.folder, tmp_path / "bundle"))
    path = folder / STAGES_FOLDER / "static_linear" / "linear.npz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BundleDamaged, match=r"linear\.npz"):
        Classifier.load(folder)


def test_its_requirements_are_those_of_all_stages(cascade: Classifier) -> None:
    assert set(CascadeModel.requirements(cascade.folder)) == {"onnxruntime", "tokenizers"}
    assert CascadeDescription.read(cascade.folder).calibration["confidence"] == 0.95
