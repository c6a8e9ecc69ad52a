"""Sentence vectors: what a graph of texts is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from training.lifting.pooling import MeanPooledClassifier, embeddings

_BATCH = 32


def sentence_vectors(
    network: MeanPooledClassifier, tokenizer: PreTrainedTokenizerFast, texts: list[str], *, max_length: int
) -> NDArray[np.float32]:
    """The mean vector of each text, (texts, width), without dropout; batches are of like lengths."""
    was_training = network.training
    network.train(False)
    encoded = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
    found: list[Any] = [None] * len(texts)
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        batch = tokenizer(
            [texts[row] for row in rows],
            truncation=True,
            max_length=max_length,
            padding=True,
            return_tensors="pt",
        ).to(network.device)
        for row, vector in zip(rows, embeddings(network, dict(batch)).cpu().numpy(), strict=True):
            found[row] = vector
    network.train(was_training)
    vectors: NDArray[np.float32] = np.stack(found)
    return vectors
