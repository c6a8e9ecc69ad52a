"""Linear models on TF-IDF terms and static token vectors, computed with numpy alone.

The model file is an `.npz` without pickled objects. Terms are weighted as scikit-learn's `TfidfVectorizer` does. Static
token vectors, one for each token of a tokenizer, are averaged over a text; they are distilled from a network in the
manner of model2vec (https://github.com/MinishLab/model2vec). A text of 40 words takes about 0.1 ms.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from classifier.description import Description
from classifier.errors import BundleDamaged, BundleIncomplete, PredictionFailed
from classifier.runtime import Encoded, Logits, Model, RuntimeOptions, register_runtime
from classifier.runtimes.onnx import TOKENIZER_FILE, load_tokenizer

LINEAR_FILE = "linear.npz"
_MAX_BYTES = 2 << 30
"""Size of the unpacked arrays that is read at most."""
_SPACES = re.compile(r"\s\s+")
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Terms:
    """How terms are taken from a text; the fields are parameters of scikit-learn's `TfidfVectorizer`."""

    analyzer: Literal["word", "char_wb"] = "word"
    ngram_min: int = 1
    ngram_max: int = 1
    lowercase: bool = True
    stop_words: tuple[str, ...] = ()
    token_pattern: str = r"(?u)\b\w\w+\b"
    sublinear_tf: bool = True


@dataclass(frozen=True, slots=True)
class TermBlock:
    """Terms with their weights. The TF-IDF vector of a text has length 1 before it meets the weights."""

    terms: Terms
    vocabulary: tuple[str, ...]
    idf: _Floats
    """(terms,)"""
    weights: _Floats
    """(terms, labels)"""


@dataclass(frozen=True, slots=True)
class TokenBlock:
    """Static token vectors with their weights. The mean vector of a text has length 1 before it meets the weights."""

    vectors: NDArray[np.floating[Any]]
    """(tokens of the tokenizer, width)"""
    weights: _Floats
    """(width, labels)"""


@dataclass(frozen=True, slots=True)
class LinearModel:
    """The arrays of a linear model: logits = sum of the blocks' features times their weights + intercept."""

    term_blocks: tuple[TermBlock, ...]
    intercept: _Floats
    """(labels,)"""
    token_block: TokenBlock | None = None

    def save(self, path: Path) -> None:
        """Write the arrays as `.npz`, without pickled objects."""
        arrays: dict[str, Any] = {"intercept": self.intercept}
        for place, block in enumerate(self.term_blocks):
            options = {"terms": asdict(block.terms), "vocabulary": block.vocabulary}
            arrays[f"terms_{place}"] = np.frombuffer(json.dumps(options).encode(), dtype=np.uint8)
            arrays[f"idf_{place}"] = block.idf
            arrays[f"term_weights_{place}"] = block.weights
        if self.token_block is not None:
            arrays["vectors"] = self.token_block.vectors
            arrays["vector_weights"] = self.token_block.weights
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path, labels: int) -> LinearModel:
        """Read the arrays of a model with `labels` labels.

        Raises:
            BundleIncomplete: the file is missing.
            BundleDamaged: it cannot be read, or its arrays do not fit together.
        """
        if not path.is_file():
            raise BundleIncomplete(f"{path} is missing")
        try:
            _check_size(path)
            with np.load(path, allow_pickle=False) as arrays:
                blocks = []
                for place in range(sum(name.startswith("terms_") for name in arrays.files)):
                    options = json.loads(bytes(arrays[f"terms_{place}"]))
                    terms = Terms(**{**options["terms"], "stop_words": tuple(options["terms"]["stop_words"])})
                    re.compile(terms.token_pattern)
                    vocabulary = tuple(options["vocabulary"])
                    idf, weights = arrays[f"idf_{place}"], arrays[f"term_weights_{place}"]
                    _check_shapes(idf.shape == (len(vocabulary),), weights.shape == (len(vocabulary), labels))
                    blocks.append(TermBlock(terms, vocabulary, idf, weights))
                tokens = None
                if "vectors" in arrays.files:
                    tokens = TokenBlock(arrays["vectors"], arrays["vector_weights"])
                    _check_shapes(
                        tokens.vectors.ndim == 2, tokens.weights.shape == (tokens.vectors.shape[-1], labels)
                    )
                intercept = arrays["intercept"]
                _check_shapes(intercept.shape == (labels,))
        except (ValueError, KeyError, TypeError, OSError, EOFError, re.error, zipfile.BadZipFile) as error:
            raise BundleDamaged(f"{path} is not a linear model of {labels} labels: {error}") from None
        return cls(tuple(blocks), intercept, tokens)


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > _MAX_BYTES:
        raise ValueError(f"its arrays have {size} bytes, and at most {_MAX_BYTES} are read")


def _check_shapes(*fits: bool) -> None:
    if not all(fits):
        raise ValueError("the shapes of its arrays do not fit together")


@register_runtime("static_linear")
class StaticLinearModel(Model):
    """Linear model on TF-IDF terms and, where the bundle holds them, static token vectors.

    Logits are log-probabilities. With token vectors `Encoded.tokens` counts tokens, otherwise words.
    """

    packages = ("tokenizers",)

    def __init__(self, model: LinearModel, tokenizer: Tokenizer | None) -> None:
        """`tokenizer` is needed where `model` has token vectors."""
        self._blocks = [
            (
                _analyzer(block.terms),
                dict(zip(block.vocabulary, range(len(block.vocabulary)), strict=True)),
                block,
            )
            for block in model.term_blocks
        ]
        self._intercept = model.intercept.astype(np.float32)
        # float16 on disk; converting it for each text would cost more than the sum.
        self._tokens = model.token_block and replace(
            model.token_block, vectors=model.token_block.vectors.astype(np.float32)
        )
        self.tokenizer = tokenizer if model.token_block is not None else None
        """What its token vectors belong to; None without them."""

    @classmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> StaticLinearModel:  # noqa: ARG003
        """See `Model.load`."""
        path = folder / description.model_file
        model = LinearModel.read(path, len(description.labels))
        if model.token_block is None:
            return cls(model, None)
        tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
        if tokenizer.get_vocab_size() > len(model.token_block.vectors):
            raise BundleDamaged(
                f"{path} has {len(model.token_block.vectors)} token vectors, and {TOKENIZER_FILE} has "
                f"{tokenizer.get_vocab_size()} tokens"
            )
        return cls(model, tokenizer)

    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:  # noqa: ARG002
        """Tokenise where there are token vectors, without special tokens; otherwise count words."""
        if self.tokenizer is None:
            return [Encoded(text, (), len(text.split()), truncated=False) for text in texts]
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [
            Encoded(text, tuple(item.ids), len(item.ids), truncated=False)
            for text, item in zip(texts, found, strict=True)
        ]

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> Logits:  # noqa: ARG002
        """Log-probabilities of a batch, (n, labels) float32."""
        return self.log_probabilities([item.read for item in batch], [item.ids for item in batch])

    def log_probabilities(self, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> Logits:
        """Log-probabilities, (n, labels) float32.

        Args:
            texts: as the model reads them.
            ids: token ids of each text without special tokens; not read without token vectors.

        Raises:
            PredictionFailed: an id is beyond the token vectors.
        """
        logits = np.repeat(self._intercept[None, :], len(texts), axis=0)
        for row, text in enumerate(texts):
            for analyzer, places, block in self._blocks:
                logits[row] += _weigh_terms(analyzer(text), places, block)
            if self._tokens is not None and len(ids[row]):
                logits[row] += _weigh_tokens(ids[row], self._tokens)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits


def _weigh_terms(terms: Iterable[str], places: dict[str, int], block: TermBlock) -> _Floats | float:
    """TF-IDF vector of length 1 times the weights, (labels,); 0 where no term is known."""
    counts: dict[int, int] = {}
    for term in terms:
        place = places.get(term)
        if place is not None:
            counts[place] = counts.get(place, 0) + 1
    if not counts:
        return 0.0
    columns = np.fromiter(counts, dtype=np.intp, count=len(counts))
    values = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))
    if block.terms.sublinear_tf:
        values = np.log(values) + 1
    values *= block.idf[columns]
    values /= np.sqrt(values @ values)
    weighed: _Floats = values @ block.weights[columns]
    return weighed


def _weigh_tokens(ids: Sequence[int], block: TokenBlock) -> _Floats:
    """Mean token vector, of length 1, times the weights; (labels,)."""
    try:
        vector = block.vectors[np.asarray(ids, dtype=np.intp)].sum(axis=0, dtype=np.float32)
    except IndexError as error:
        raise PredictionFailed(
            f"a token is beyond the {len(block.vectors)} static vectors: {error}"
        ) from None
    vector /= max(float(np.sqrt(vector @ vector)), 1e-12)
    weighed: _Floats = vector @ block.weights
    return weighed


def _analyzer(terms: Terms) -> Callable[[str], Iterable[str]]:
    """The terms of a text, as scikit-learn's `TfidfVectorizer` finds them."""
    return _word_ngrams(terms) if terms.analyzer == "word" else _character_ngrams(terms)


def _word_ngrams(terms: Terms) -> Callable[[str], Iterable[str]]:
    find = re.compile(terms.token_pattern).findall
    stop = frozenset(terms.stop_words)

    def analyze(text: str) -> list[str]:
        words = find(text.lower() if terms.lowercase else text)
        if stop:
            words = [word for word in words if word not in stop]
        found = list(words) if terms.ngram_min == 1 else []
        for size in range(max(2, terms.ngram_min), terms.ngram_max + 1):
            found += map(" ".join, zip(*(words[start:] for start in range(size)), strict=False))
        return found

    return analyze


def _character_ngrams(terms: Terms) -> Callable[[str], Iterable[str]]:
    sizes = range(terms.ngram_min, terms.ngram_max + 1)

    def analyze(text: str) -> list[str]:
        found = []
        for word in _SPACES.sub(" ", text.lower() if terms.lowercase else text).split():
            padded = f" {word} "
            for size in sizes:
                found += [padded[start : start + size] for start in range(max(1, len(padded) - size + 1))]
                if size >= len(padded):
                    break  # a word that is shorter than the n-gram counts once
        return found

    return analyze
