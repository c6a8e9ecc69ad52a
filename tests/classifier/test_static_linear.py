"""The runtime of linear models: the probabilities of scikit-learn, and files that are refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from classifier import BundleDamaged, BundleError, BundleIncomplete, Classifier
from classifier.runtime import Encoded
from classifier.runtimes.static_linear import LINEAR_FILE, LinearModel, StaticLinearModel, TermBlock, Terms
from tests import golden_messages as messages
from tests.support.bundles import bbc_part
from tests.support.network_cascades import fitted_on_bbc, sealed_linear_bundle

TEXTS = [
    "Shares fell in London.",
    "",
    "the of and",
    "Straße ÉCOLE naïve don't e-mail 3.14 x",
    "日本語のテキスト 🎈",
    " tab\tline\n  two  spaces ",
    *bbc_part(1)[0][:40],
]


def test_it_gives_the_probabilities_of_scikit_learn(linear: Classifier) -> None:
    vectorizer, regression = fitted_on_bbc()
    expected = regression.predict_proba(vectorizer.transform(TEXTS))
    np.testing.assert_allclose(linear.predict(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"analyzer": "word", "ngram_range": (1, 1), "lowercase": False},
        {"analyzer": "word", "ngram_range": (2, 3), "token_pattern": r"(?u)\S+"},
        {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": False, "stop_words": ["the", "and"]},
        {"analyzer": "char_wb", "ngram_range": (2, 4)},
        {"analyzer": "char_wb", "ngram_range": (5, 6)},
    ],
)
def test_terms_are_weighted_as_in_tfidf_vectorizer(options: dict[str, object]) -> None:
    given = {"sublinear_tf": True, **options}
    vectorizer = TfidfVectorizer(**given)  # type: ignore[arg-type]
    features = vectorizer.fit_transform(TEXTS).toarray()
    terms = Terms(
        analyzer=given["analyzer"],  # type: ignore[arg-type]
        ngram_min=vectorizer.ngram_range[0],
        ngram_max=vectorizer.ngram_range[1],
        lowercase=vectorizer.lowercase,
        stop_words=tuple(sorted(vectorizer.get_stop_words() or ())),
        token_pattern=vectorizer.token_pattern,
        sublinear_tf=vectorizer.sublinear_tf,
    )
    weights = np.random.default_rng(0).normal(size=(features.shape[1], 3)).astype(np.float32)
    names = tuple(vectorizer.get_feature_names_out())
    block = TermBlock(terms, names, vectorizer.idf_.astype(np.float32), weights)
    model = StaticLinearModel(LinearModel((block,), np.zeros(3, dtype=np.float32)), None)
    found = np.exp(model.log_probabilities(TEXTS, [[]] * len(TEXTS)))
    logits = features @ weights
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)


def test_static_vectors_change_the_answer_and_count_tokens(
    tmp_path: Path, network: Classifier, linear: Classifier
) -> None:
    found = sealed_linear_bundle(tmp_path / "bundle", tokenizer=network.folder / "tokenizer.json")
    encoded = found.encode(TEXTS)
    special = 2
    assert [item.tokens + special for item in encoded] == [item.tokens for item in network.encode(TEXTS)]
    difference = np.abs(found.predict(TEXTS) - linear.predict(TEXTS)).max(axis=1)
    assert difference[1] < 1e-6, "an empty text has no token, and so no vector"
    assert difference[0] > 1e-4


def test_a_token_beyond_the_vectors_is_an_error(tmp_path: Path, network: Classifier) -> None:
    found = sealed_linear_bundle(tmp_path / "bundle", tokenizer=network.folder / "tokenizer.json")
    with pytest.raises(Exception, match=messages.TOKEN_BEYOND_TABLE):
        found.infer([Encoded("x", (10_000_000,), 1, False)])


def test_serving_it_imports_neither_scikit_learn_nor_torch(linear: Classifier) -> None:
    code = (
        "import sys; from classifier import Classifier; Classifier.load(sys.argv[1]).predict(['a b']); "
        "print(sorted({'sklearn', 'scipy', 'torch', 'skops'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(linear.folder)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def _broken(path: Path, **changed: np.ndarray) -> None:
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    np.savez(path, allow_pickle=True, **{**kept, **changed})


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"idf_0": np.zeros(3, dtype=np.float32)}, BundleDamaged),
        ({"intercept": np.zeros(3, dtype=np.float32)}, BundleDamaged),
        ({"terms_0": np.frombuffer(b'{"terms": {}}', dtype=np.uint8)}, BundleDamaged),
        ({"intercept": np.array([{}], dtype=object)}, BundleDamaged),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict[str, np.ndarray], error: type[BundleError]
) -> None:
    folder = sealed_linear_bundle(tmp_path / "bundle").folder
    _broken(folder / LINEAR_FILE, **changed)
    with pytest.raises(error, match=LINEAR_FILE):
        Classifier.load(folder, verify=False)


def test_a_missing_or_cut_file_is_refused(tmp_path: Path) -> None:
    folder = sealed_linear_bundle(tmp_path / "bundle").folder
    content = (folder / LINEAR_FILE).read_bytes()
    (folder / LINEAR_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleDamaged):
        Classifier.load(folder, verify=False)
    (folder / LINEAR_FILE).unlink()
    with pytest.raises(BundleIncomplete):
        Classifier.load(folder, verify=False)
