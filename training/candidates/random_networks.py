"""Small networks with random weights: one of a class of architecture, where its pretrained weights cannot be had.

They read text by the packaged MiniLM's tokenizer, which is BERT's own lower-case WordPiece. They learn little from a
few texts: they show that the way is clear, not how good it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
)

RANDOM = ("random-bert", "random-distilbert")
"""Names that an experiment file gives as `weights`."""

_WIDTH, _HEADS, _LAYERS, _POSITIONS = 64, 4, 2, 512


def random_network(name: str, labels: Sequence[str], vocabulary: int) -> PreTrainedModel:
    """The network that `name`, one of `RANDOM`, stands for: 2 layers, 64 wide, drawn from torch's global generator.

    Args:
        name: which architecture.
        labels: one output each.
        vocabulary: size of the tokenizer's vocabulary.
    """
    named: dict[str, Any] = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: position for position, label in enumerate(labels)},
    }
    if name == "random-distilbert":
        return DistilBertForSequenceClassification(
            DistilBertConfig(
                vocab_size=vocabulary, dim=_WIDTH, n_heads=_HEADS, n_layers=_LAYERS, hidden_dim=2 * _WIDTH,
                max_position_embeddings=_POSITIONS, **named,
            )
        )  # fmt: skip
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=vocabulary, hidden_size=_WIDTH, num_attention_heads=_HEADS, num_hidden_layers=_LAYERS,
            intermediate_size=2 * _WIDTH, max_position_embeddings=_POSITIONS, **named,
        )
    )  # fmt: skip
