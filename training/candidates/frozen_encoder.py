"""A linear head on a frozen encoder: sentence vectors and logistic regression, in one ONNX file."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedTokenizerFast, set_seed
from transformers.utils import logging as transformers_logging

from training.config.network import HeadConfig
from training.data import Splits
from training.data.labels import positions_of
from training.export.candidate import export_candidate
from training.models.pooling import MeanPooledClassifier, mean_pooled, sentence_vectors
from training.models.result import History, Trained, TrainingContext
from training.models.weight_checks import check_length
from training.models.weights import load_network

_MOST_ITERATIONS = 2000
VECTORS = "vectors"
"""Folder of a run for sentence vectors, which candidates with the same encoder share."""


def train_head(config: HeadConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Embed the training part, fit logistic regression on it, and export both as `model.onnx`.

    Raises:
        WeightsMissing: the encoder cannot be loaded.
        WeightsUnsuitable: it does not fit its tokenizer or `max_length`.
        ParityError: the exported network's probabilities are not the trained one's.
    """
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    started = time.perf_counter()
    set_seed(context.seed)  # a random encoder is drawn; the head is replaced
    loaded, tokenizer = load_network(config.weights, splits.labels, config.layers)
    check_length(loaded, config.max_length)
    network = mean_pooled(loaded, normalised=True)
    vectors = _vectors(network, tokenizer, config, splits.train.texts, context)
    embedded = time.perf_counter()
    fit_head(network, vectors, splits.train.labels, splits.labels, config, seed=context.seed)
    ended = time.perf_counter()
    trained = export_candidate(network, tokenizer, config, splits, context, History())
    seconds = {"training_seconds": ended - started, "head_seconds": ended - embedded}
    return replace(trained, figures={**trained.figures, **seconds})


def fit_head(
    network: MeanPooledClassifier,
    vectors: NDArray[np.float32],
    labels: Sequence[str],
    classes: tuple[str, ...],
    config: HeadConfig,
    *,
    seed: int,
) -> None:
    """Fit logistic regression and write it into the head of `network`.

    Args:
        network: its head has one output a class.
        vectors: (texts, width), each of length 1.
        labels: of each text.
        classes: every label, in the order of the network's outputs.
        config: the regularisation.
        seed: for the solver.
    """
    regression = LogisticRegression(
        C=config.C, class_weight=config.class_weights, max_iter=_MOST_ITERATIONS, random_state=seed
    )
    # By position, so that the rows of the coefficients are in the order of `classes`.
    regression.fit(vectors.astype(np.float64), positions_of(labels, classes))
    weight, bias = regression.coef_, regression.intercept_
    if len(classes) == 2:
        # Two classes have one row, the logit of the second against the first.
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.array([0.0, bias[0]])
    with torch.no_grad():
        network.classifier.weight.copy_(torch.from_numpy(weight))
        network.classifier.bias.copy_(torch.from_numpy(bias))


def _vectors(
    network: MeanPooledClassifier,
    tokenizer: PreTrainedTokenizerFast,
    config: HeadConfig,
    texts: list[str],
    context: TrainingContext,
) -> NDArray[np.float32]:
    """The vectors of `texts`, read from the run's folder where another candidate has left the same."""
    task = context.progress.add_task(f"{context.name}: embedding", total=len(texts))
    path = context.scratch.parent / VECTORS / f"{_key(network, config, texts, context)}.npy"
    if path.is_file():
        kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
        context.progress.update(task, completed=len(texts))
        return kept
    found = sentence_vectors(
        network, tokenizer, texts, max_length=config.max_length,
        advance=lambda count: context.progress.advance(task, count),
    )  # fmt: skip
    _save(path, found)
    return found


def _key(
    network: MeanPooledClassifier, config: HeadConfig, texts: list[str], context: TrainingContext
) -> str:
    """Hash of everything that determines the vectors; the seed draws a `random-…` encoder."""
    encoder = [config.weights, config.layers, config.max_length, network.config.hidden_size]
    facts = [*encoder, dict(context.inputs), context.seed, texts]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _save(path: Path, vectors: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, vectors)
    part.replace(path)
