"""Mean pooling: the classification module on mean token vectors, and sentence vectors of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

MEAN = "mean"
_KEY = "text_pooling"
"""Key of a network's configuration that says it is a `MeanPooledClassifier`."""
_NORMALISED = "text_normalised"
"""Key of its configuration that says that its head reads vectors of length 1."""


class MeanPooledClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A pretrained body, the mean of its last layer over a text's tokens, dropout, and a linear layer.

    With `text_normalised` in its configuration the mean is divided by its length first.
    """

    config_class = PretrainedConfig
    base_model_prefix = "body"
    _supports_sdpa = True

    def __init__(self, config: PretrainedConfig) -> None:
        """With random weights; `mean_pooled` takes over pretrained ones."""
        super().__init__(config)
        self.body: Any = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        if getattr(self.body, "pooler", None) is not None:
            self.body.pooler = None  # reads the first token, and would be served for nothing
        dropout = getattr(config, "hidden_dropout_prob", getattr(config, "dropout", 0.1))
        self.dropout = nn.Dropout(dropout)
        self.normalised = bool(getattr(config, _NORMALISED, False))
        self.classifier = nn.Linear(self.body.config.hidden_size, len(config.id2label or {}))
        nn.init.normal_(self.classifier.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.classifier.bias)

    def pooled(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean of `states` (texts, tokens, width) over the tokens that `attention_mask` (texts, tokens) marks."""
        real = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1.0)
        return functional.normalize(mean, dim=-1) if self.normalised else mean

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,  # noqa: ARG002  the Trainer keeps the columns that are named here
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Logits (texts, labels); `options` go to the body (`output_hidden_states`, …)."""
        if token_type_ids is not None:
            options["token_type_ids"] = token_type_ids
        said = self.body(input_ids=input_ids, attention_mask=attention_mask, **options)
        text = self.pooled(said.last_hidden_state, attention_mask)
        logits = self.classifier(self.dropout(text))
        return SequenceClassifierOutput(
            logits=logits, hidden_states=said.hidden_states, attentions=said.attentions
        )


def mean_pooled(network: PreTrainedModel, *, normalised: bool = False) -> MeanPooledClassifier:
    """A mean-pooled classifier with the body of `network`, its labels, and a new head.

    The head is drawn from torch's global generator: seed it before. With `normalised` it reads vectors of length 1.
    """
    config = network.config
    setattr(config, _KEY, MEAN)
    if normalised:
        setattr(config, _NORMALISED, True)
    pooled = MeanPooledClassifier(config)
    body = network.base_model.state_dict()
    wanted = pooled.body.state_dict()
    pooled.body.load_state_dict({name: weight for name, weight in body.items() if name in wanted})
    return pooled


def classifier_from_config(config: PretrainedConfig) -> PreTrainedModel:
    """A classifier of the architecture that `config` describes, with random weights."""
    if getattr(config, _KEY, None) == MEAN:
        return MeanPooledClassifier(config)
    network: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    return network


@torch.inference_mode()
def embeddings(network: MeanPooledClassifier, batch: dict[str, Tensor]) -> Tensor:
    """The mean vector of each text of an encoded `batch`, (texts, width)."""
    said = network.body(**batch)
    return network.pooled(said.last_hidden_state, batch["attention_mask"])


_BATCH = 32


def sentence_vectors(
    network: MeanPooledClassifier,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    *,
    max_length: int,
    advance: Callable[[int], object] | None = None,
) -> NDArray[np.float32]:
    """The mean vector of each text, (texts, width), without dropout; batches are of like lengths.

    `advance` is called with the number of texts of each batch that is done.
    """
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
        if advance is not None:
            advance(len(rows))
    network.train(was_training)
    vectors: NDArray[np.float32] = np.stack(found)
    return vectors
