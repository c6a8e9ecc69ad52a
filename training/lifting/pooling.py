"""A network that classifies by the mean of its token vectors, as sentence embedders pool them.

`AutoModelForSequenceClassification` reads the vector of the first token through BERT's pooler. A sentence embedder such
as MiniLM was never trained to gather a text there: its sentence is the mean of the token vectors. Nils Reimers, Iryna
Gurevych: *Sentence-BERT*, EMNLP 2019, arXiv:1908.10084.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

MEAN = "mean"
_KEY = "text_pooling"
"""Key of a network's configuration that says it is a `MeanPooledClassifier`."""


class MeanPooledClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A pretrained body, the mean of its last layer over a text's tokens, dropout, and a linear layer."""

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
        self.classifier = nn.Linear(self.body.config.hidden_size, len(config.id2label or {}))
        nn.init.normal_(self.classifier.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.classifier.bias)

    def pooled(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean of `states` (texts, tokens, width) over the tokens that `attention_mask` (texts, tokens) marks."""
        real = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1.0)

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


def mean_pooled(network: PreTrainedModel) -> MeanPooledClassifier:
    """A mean-pooled classifier with the body of `network`, its labels, and a new head.

    The head is drawn from torch's global generator: seed it before.
    """
    config = network.config
    setattr(config, _KEY, MEAN)
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
