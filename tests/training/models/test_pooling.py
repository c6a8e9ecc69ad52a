"""Mean pooling: what it reads, and that the exported file holds it and gives it back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
)

from classifier import Description
from tests import golden_messages as messages
from training.config.distillation import DistilledConfig
from training.config.network import NetworkConfig
from training.export.onnx import MODEL_FILE, export_network, torch_probabilities
from training.export.read_back import read_network
from training.models.pooling import MeanPooledClassifier, mean_pooled
from training.models.weights import weights_source

TEXTS = [
    "a short one",
    "rather a longer text, with several more words than the other",
    "goal",
    "the bank fell",
]


def pretrained(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if kind == "bert":
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=30522,
                hidden_size=32,
                num_attention_heads=2,
                intermediate_size=64,
                num_hidden_layers=2,
                num_labels=3,
                initializer_range=0.15,
            )
        )
    return DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=30522,
            dim=32,
            n_heads=2,
            hidden_dim=64,
            n_layers=2,
            num_labels=3,
            initializer_range=0.15,
        )
    )


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_mean_pooled_network_is_read_back_with_its_head(kind: str, tmp_path: Path) -> None:
    start = pretrained(kind)
    network = mean_pooled(start)
    for name, weight in start.base_model.state_dict().items():
        if "pooler" not in name:
            assert torch.equal(network.body.state_dict()[name], weight), name
    assert not any("pooler" in name for name in network.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(weights_source("all-minilm-l6-v2"))
    description = Description(kind="onnx", model_file=MODEL_FILE, labels=("a", "b", "c"), max_length=16)
    difference = export_network(network, tokenizer, tmp_path, description, texts=TEXTS, tolerance=1e-4)
    assert difference < 1e-4

    again = read_network(tmp_path / MODEL_FILE)
    assert isinstance(again, MeanPooledClassifier)
    expected = torch_probabilities(network, tokenizer, TEXTS, max_length=16)
    assert torch_probabilities(again, tokenizer, TEXTS, max_length=16) == pytest.approx(expected, abs=1e-5)


def test_padding_takes_no_part_in_the_mean() -> None:
    network = mean_pooled(pretrained("bert"))
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    assert network.pooled(states, torch.tensor([[1, 1, 0]])).tolist() == [[2.0, 3.0]]


def test_what_needs_the_mean_says_so() -> None:
    with pytest.raises(ValidationError, match=messages.GRAPH_NEEDS_POOLING):
        NetworkConfig.model_validate({"self_training": {"graph": {}}})
    with pytest.raises(ValidationError, match=messages.STUDENT_WITH_POOLING):
        DistilledConfig.model_validate({"pooling": "mean"})
