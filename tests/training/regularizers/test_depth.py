"""Depth of parameters in real architectures, learning rates that fall with it, and freezing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PreTrainedModel,
)

from tests import golden_messages as messages
from training.regularizers.depth import depths, freeze, parameter_groups


def bert() -> PreTrainedModel:
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=50, hidden_size=8, num_attention_heads=2, intermediate_size=16, num_hidden_layers=3
        )
    )


def distilbert() -> PreTrainedModel:
    return DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=50, dim=8, n_heads=2, hidden_dim=16, n_layers=3)
    )


def electra() -> PreTrainedModel:
    return ElectraForSequenceClassification(
        ElectraConfig(
            vocab_size=50, embedding_size=4, hidden_size=8, num_attention_heads=2, intermediate_size=16,
            num_hidden_layers=3,
        )
    )  # fmt: skip


@pytest.mark.parametrize("make", [bert, distilbert, electra])
def test_embeddings_are_at_the_bottom_and_the_head_at_the_top(make: type[PreTrainedModel]) -> None:
    found = depths(make())
    assert found.layers == 3
    assert set(found.of.values()) == {0, 1, 2, 3, 4}
    for name, depth in found.of.items():
        if "embeddings" in name:
            assert depth == 0, name
        elif "classifier" in name or "pooler" in name:
            assert depth == 4, name
        else:
            assert f"layer.{depth - 1}." in name


def test_rates_fall_by_layer_and_each_parameter_has_one_group() -> None:
    network = bert()
    groups = parameter_groups(network, learning_rate=1e-3, decay=0.5, weight_decay=0.01)
    assert sorted({group["lr"] for group in groups}) == pytest.approx(
        [1e-3 / 16, 1e-3 / 8, 1e-3 / 4, 5e-4, 1e-3]
    )
    places = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(places) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    word = places[id(network.get_parameter("bert.embeddings.word_embeddings.weight"))]
    assert (word["lr"], word["weight_decay"]) == (1e-3 / 16, 0.01)
    bias = places[id(network.get_parameter("classifier.bias"))]
    assert (bias["lr"], bias["weight_decay"]) == (1e-3, 0.0)
    norm = places[id(network.get_parameter("bert.encoder.layer.2.output.LayerNorm.weight"))]
    assert (norm["lr"], norm["weight_decay"]) == (5e-4, 0.0)
    torch.optim.AdamW(groups)  # takes them as they are


def test_without_decay_there_is_one_rate() -> None:
    groups = parameter_groups(bert(), learning_rate=1e-3, decay=1.0, weight_decay=0.01)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1e-3, 0.01), (1e-3, 0.0)]


def test_what_is_frozen_learns_nothing_and_is_in_no_group() -> None:
    network = bert()
    frozen = freeze(network, embeddings=True, layers=2)
    still = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert all("embeddings" in name or "layer.0." in name or "layer.1." in name for name in still)
    assert frozen == sum(network.get_parameter(name).numel() for name in still)
    groups = parameter_groups(network, learning_rate=1e-3, decay=0.5, weight_decay=0.0)
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters())) - len(still)
    layers_only = bert()
    freeze(layers_only, embeddings=False, layers=1)
    assert layers_only.get_parameter("bert.embeddings.word_embeddings.weight").requires_grad


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=messages.TOO_MANY_FROZEN):
        freeze(bert(), embeddings=False, layers=4)
    with pytest.raises(ValueError, match=messages.LAYERS_NOT_FOUND):
        depths(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=messages.LAYER_DECAY_BOUNDS):
        parameter_groups(bert(), learning_rate=1e-3, decay=1.5, weight_decay=0.0)
