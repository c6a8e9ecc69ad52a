"""Train `static_linear` candidates: fitted with scikit-learn, exported as arrays that serving reads with numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from classifier import Classifier, Description
from classifier.runtimes.onnx import TOKENIZER_FILE
from classifier.runtimes.static_linear import LINEAR_FILE, LinearModel, TermBlock, Terms, TokenBlock
from training.config.tfidf import StaticLinearConfig
from training.data import Splits
from training.data.labels import positions_of
from training.errors import ParityError, WeightsMissing
from training.models.result import Trained, TrainingContext
from training.models.sklearn import report_wordless, tfidf_vectorizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOLERANCE = 1e-3
_CHECKED_TEXTS = 64
_NEGLIGIBLE = 1e-3
"""A probability of the teacher below it is not worth a row."""


def train_static_linear(config: StaticLinearConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Fit TF-IDF terms and static vectors on the training part, and write `linear.npz` (and `tokenizer.json`).

    With a teacher, terms and frequencies are counted in the unlabelled texts as well, and its probabilities of them
    are learned: the weighted log loss of one row per likely label is the cross-entropy with soft targets.

    Raises:
        TeacherUnusable: the teacher is not there, cannot be run, or knows other labels.
        WeightsMissing: the network of the token vectors cannot be loaded.
        ParityError: the exported arrays give other probabilities than scikit-learn.
    """
    task = context.progress.add_task(context.name, total=3)
    texts, rows, targets, weights = _lessons(config, splits, context)
    context.progress.advance(task)
    static = _static_vectors(config, texts, context) if config.weights else None
    context.progress.advance(task)

    vectorizers = [tfidf_vectorizer(config, dtype=np.float32)]
    if config.character_ngrams:
        characters = {"analyzer": "char_wb", "ngram_range": config.character_ngrams}
        vectorizers.append(TfidfVectorizer(**{**vectorizers[0].get_params(), **characters, **_NO_WORDS}))
    blocks: list[Any] = [vectorizer.fit_transform(texts) for vectorizer in vectorizers]
    if static is not None:
        blocks.append(csr_matrix(config.vector_scale * static.features(texts)))
    features = hstack(blocks).tocsr()
    regression = LogisticRegression(
        C=config.C, class_weight=config.class_weights, max_iter=2000, random_state=context.seed
    )
    regression.fit(features[rows], targets, sample_weight=weights)
    wordless = report_wordless(vectorizers[0], splits, context)

    model = _arrays(regression, vectorizers, static, config.vector_scale, len(splits.labels))
    model.save(context.bundle / LINEAR_FILE)
    if static is not None:
        static.tokenizer.save(str(context.bundle / TOKENIZER_FILE))
    description = Description(
        kind="static_linear", model_file=LINEAR_FILE, labels=splits.labels, candidate=context.name
    )
    description.write(context.bundle)
    checked = splits.validation.texts[:_CHECKED_TEXTS]
    expected = _probabilities(regression, vectorizers, static, config.vector_scale, checked)
    difference = _difference(Classifier.load(context.bundle, verify=False), checked, expected)
    context.progress.update(task, completed=3)
    figures = {
        "features": float(features.shape[1]),
        "parity_difference": difference,
        "unlabelled_texts": float(len(texts) - len(splits.train)),
    }
    return Trained(description, figures={**figures, **wordless})


_NO_WORDS = {"stop_words": None, "token_pattern": None}
"""scikit-learn warns of both where terms are characters."""


def _lessons(
    config: StaticLinearConfig, splits: Splits, context: TrainingContext
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Texts, and for each example its row among them, its position of the label, and its weight."""
    truth = positions_of(splits.train.labels, splits.labels)
    rows, targets, weights = np.arange(len(truth)), truth, np.ones(len(truth))
    unlabelled = splits.unlabelled
    if config.teacher is None or not unlabelled:
        return list(splits.train.texts), rows, targets, weights
    from training.distillation.teacher import find_teacher  # it imports every kind of network

    teacher = find_teacher(config.teacher, splits, context)
    soft = teacher.soft_labels(unlabelled)
    likely, columns = np.nonzero(soft > _NEGLIGIBLE)
    return (
        [*splits.train.texts, *unlabelled],
        np.concatenate([rows, len(truth) + likely]),
        np.concatenate([targets, columns]),
        np.concatenate([weights, soft[likely, columns]]),
    )


@dataclass(frozen=True)
class _StaticVectors:
    """Weighted token vectors, as they are served: in half precision."""

    tokenizer: Tokenizer
    vectors: NDArray[np.float16]

    def features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean token vector of each text, of length 1; 0 for a text without tokens."""
        found = np.zeros((len(texts), self.vectors.shape[1]), dtype=np.float32)
        for row, item in enumerate(self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)):
            if item.ids:
                total = self.vectors[item.ids].sum(axis=0, dtype=np.float32)
                found[row] = total / max(float(np.linalg.norm(total)), 1e-12)
        return found


def _static_vectors(
    config: StaticLinearConfig, texts: Sequence[str], context: TrainingContext
) -> _StaticVectors:
    from transformers import set_seed

    from training.candidates.static_vectors import rarity, token_vectors
    from training.export.read_back import read_network, read_tokenizer
    from training.models.weights import load_network

    assert config.weights is not None
    if config.weights in context.siblings:
        folder = context.siblings[config.weights]
        if folder is None or not (folder / "model.onnx").is_file():
            raise WeightsMissing(
                f"the candidate {config.weights!r}, whose token vectors are to be distilled, comes later, has failed "
                "or is not a network"
            )
        network, tokenizer = read_network(folder / "model.onnx"), read_tokenizer(folder)
    else:
        set_seed(context.seed)  # a random network is drawn
        network, tokenizer = load_network(config.weights, ("a", "b"), None)  # its head is not used
    fast: Tokenizer = tokenizer.backend_tokenizer
    fast.no_padding()
    fast.no_truncation()
    task = context.progress.add_task(f"{context.name}: token vectors", total=len(tokenizer))
    vectors = token_vectors(
        network, tokenizer, width=config.width, cache=context.tokens,
        advance=lambda count: context.progress.advance(task, count),
    )  # fmt: skip
    context.progress.update(task, completed=len(tokenizer))
    counted = fast.encode_batch_fast(list(texts), add_special_tokens=False)
    weighted = vectors * rarity((item.ids for item in counted), len(vectors))[:, None]
    # Of like size, so that half precision has room for each.
    weighted /= np.abs(weighted).max()
    return _StaticVectors(fast, weighted.astype(np.float16))


def _arrays(
    regression: LogisticRegression,
    vectorizers: Sequence[TfidfVectorizer],
    static: _StaticVectors | None,
    scale: float,
    labels: int,
) -> LinearModel:
    weights, intercept = regression.coef_.T, regression.intercept_
    if labels == 2:
        # Two labels have one column, the logit of the second against the first.
        weights = np.hstack([np.zeros_like(weights), weights])
        intercept = np.array([0.0, intercept[0]])
    blocks, start = [], 0
    for vectorizer in vectorizers:
        size = len(vectorizer.vocabulary_)
        options = vectorizer.get_params()
        terms = Terms(
            analyzer=options["analyzer"],
            ngram_min=options["ngram_range"][0],
            ngram_max=options["ngram_range"][1],
            lowercase=options["lowercase"],
            stop_words=tuple(sorted(vectorizer.get_stop_words() or ())),
            token_pattern=options["token_pattern"] or Terms().token_pattern,
            sublinear_tf=options["sublinear_tf"],
        )
        vocabulary = tuple(vectorizer.get_feature_names_out())
        own = weights[start : start + size].astype(np.float32)
        blocks.append(TermBlock(terms, vocabulary, vectorizer.idf_.astype(np.float32), own))
        start += size
    token_block = None
    if static is not None:
        token_block = TokenBlock(static.vectors, (scale * weights[start:]).astype(np.float32))
    return LinearModel(tuple(blocks), intercept.astype(np.float32), token_block)


def _probabilities(
    regression: LogisticRegression,
    vectorizers: Sequence[TfidfVectorizer],
    static: _StaticVectors | None,
    scale: float,
    texts: Sequence[str],
) -> NDArray[np.float64]:
    """What scikit-learn says of the texts; (n, labels)."""
    blocks: list[Any] = [vectorizer.transform(texts) for vectorizer in vectorizers]
    if static is not None:
        blocks.append(csr_matrix(scale * static.features(texts)))
    found: NDArray[np.float64] = regression.predict_proba(hstack(blocks).tocsr())
    return found


def _difference(served: Classifier, texts: Sequence[str], expected: NDArray[np.float64]) -> float:
    """Largest difference of one probability.

    Raises:
        ParityError: it is above the tolerance.
    """
    difference = float(np.abs(served.predict(texts) - expected).max())
    if not difference <= _TOLERANCE:  # written so that NaN fails
        raise ParityError(
            f"the exported linear model differs from scikit-learn's by {difference:.2g} in a probability "
            f"(tolerance {_TOLERANCE:.2g}): this is a bug"
        )
    return difference
