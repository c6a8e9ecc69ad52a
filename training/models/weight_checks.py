"""Checks that weights, tokenizer and maximum length of a network fit together, run before training."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from training.errors import WeightsUnsuitable

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.\d+\.")
_SHOWN = 3
_UNKNOWN_NOTED = 0.05
"""Share of unknown tokens above which it is reported."""


def check_architecture(weights: str, config: PretrainedConfig) -> None:
    """Raise WeightsUnsuitable unless `config` is of a text encoder that fills in masked tokens (BERT and its kin).

    A decoder (GPT) classifies by the last token and has no padding token; an encoder-decoder (T5, BART) has
    inputs that the exported file does not.
    """
    kind = config.model_type
    if (
        kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        or getattr(config, "is_encoder_decoder", False)
        or getattr(config, "is_decoder", False)
    ):
        raise WeightsUnsuitable(
            f"weights {weights!r} are of a {kind!r} network, which is no text encoder: take BERT, DistilBERT, RoBERTa, "
            "MPNet, DeBERTa, ELECTRA or another network that was trained to fill in masked tokens"
        )


def check_checkpoint(
    weights: str, network: PreTrainedModel, loading: Mapping[str, Collection[Any]]
) -> list[str]:
    """Check that every weight of the body came from the checkpoint; returns what is new besides the head, in words.

    Args:
        weights: as the experiment names them.
        network: as loaded.
        loading: `missing_keys`, `mismatched_keys`, `unexpected_keys` and `error_msgs` of `from_pretrained`.

    Raises:
        WeightsUnsuitable: a weight of the body is not in the checkpoint, has another size there, or the checkpoint has
            layers that the configuration does not name.
    """
    if loading["error_msgs"]:
        raise WeightsUnsuitable(
            f"weights {weights!r} cannot be read: {'; '.join(map(str, loading['error_msgs']))}"
        )
    body = f"{network.base_model_prefix}."
    if changed := sorted(item for item in loading["mismatched_keys"] if str(item[0]).startswith(body)):
        name, found, expected = changed[0]
        raise WeightsUnsuitable(
            f"weights {weights!r}: {len(changed)} tensors have another size in the checkpoint than config.json says, "
            f"such as {name}: {list(found)}, expected {list(expected)}. They would be replaced by random values"
        )
    missing = sorted(str(name) for name in loading["missing_keys"] if str(name).startswith(body))
    pooler = [name for name in missing if name.startswith(f"{body}pooler.")]
    if lost := [name for name in missing if name not in pooler]:
        total = sum(name.startswith(body) for name in network.state_dict())
        raise WeightsUnsuitable(
            f"weights {weights!r}: {len(lost)} of the {total} tensors of the {network.config.model_type} encoder are "
            f"not in the checkpoint ({_some(lost)}) and would be random: is config.json another network's?"
        )
    if further := sorted(str(name) for name in loading["unexpected_keys"] if _LAYER.search(str(name))):
        raise WeightsUnsuitable(
            f"weights {weights!r}: the checkpoint has layers that config.json does not name ({_some(further)}); they "
            "would be left out. Correct num_hidden_layers, or use the candidate's `layers`"
        )
    return ["the pooler is new: the checkpoint has none"] if pooler else []


def reset_head(network: PreTrainedModel, labels: Sequence[str], known: Mapping[Any, str]) -> list[str]:
    """Reinitialise the output layer unless it was trained for the same labels in the same order.

    Args:
        network: loaded with as many outputs as `labels`; its output layer came from the checkpoint.
        labels: labels of the experiment.
        known: position → label, as the checkpoint's configuration has it.

    Returns:
        What was done, in words.
    """
    named = [str(known[key]) for key in sorted(known, key=int)]
    if named == list(labels):
        return ["the checkpoint's head knows the same labels and is trained further"]
    spread = float(getattr(network.config, "initializer_range", 0.02))
    body = f"{network.base_model_prefix}."
    for name, module in network.named_modules():
        if not name.startswith(body) and isinstance(module, nn.Linear) and module.out_features == len(labels):
            nn.init.normal_(module.weight, std=spread)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    shown = ", ".join(named[:5]) + (", …" if len(named) > 5 else "")
    return [f"the checkpoint's head was trained for other labels ({shown}) and is replaced"]


def check_tokenizer(weights: str, tokenizer: PreTrainedTokenizerFast, network: PreTrainedModel) -> list[str]:
    """Check that `tokenizer` is the network's; returns notes.

    Padding and truncation are set to the right side, as the served model does both.

    Raises:
        WeightsUnsuitable: it has no padding token, numbers tokens beyond the network's embeddings, has too few tokens
            for them, or pads with another token than the network expects.
    """
    vocabulary = tokenizer.get_vocab()
    embeddings: Any = network.get_input_embeddings()
    rows = int(embeddings.weight.shape[0])
    if len(vocabulary) < rows / 2:
        raise WeightsUnsuitable(
            f"weights {weights!r}: the tokenizer has {len(vocabulary):,} tokens and the network embeddings for "
            f"{rows:,}. Is tokenizer.json (or vocab.txt) missing, or another network's?"
        )
    if (highest := max(vocabulary.values())) >= rows:
        token = next(token for token, number in vocabulary.items() if number == highest)
        raise WeightsUnsuitable(
            f"weights {weights!r}: the tokenizer numbers {token!r} {highest:,}, and the network has embeddings for "
            f"{rows:,} tokens, counted from 0: they are not of one model, or tokens were added without resizing it"
        )
    if tokenizer.pad_token_id is None:
        raise WeightsUnsuitable(
            f"weights {weights!r}: the tokenizer has no padding token, so texts of different lengths cannot share a "
            "batch. Set `pad_token` in tokenizer_config.json to the one that the network was trained with"
        )
    table = _positions(network)
    if table is not None and table.padding_idx is not None and table.padding_idx != tokenizer.pad_token_id:
        raise WeightsUnsuitable(
            f"weights {weights!r}: the tokenizer pads with token {tokenizer.pad_token_id}, the network counts "
            f"positions from its padding token {table.padding_idx}: they are not of one model"
        )
    notes = []
    for side in ("padding_side", "truncation_side"):
        if getattr(tokenizer, side) != "right":
            notes.append(
                f"{side} of the tokenizer is {getattr(tokenizer, side)!r}; right is used, as in serving"
            )
            setattr(tokenizer, side, "right")
    if tokenizer.num_special_tokens_to_add() == 0:
        notes.append("the tokenizer adds no special tokens, so the first token of a text is its first word")
    return notes


def check_length(network: PreTrainedModel, max_length: int) -> None:
    """Raise WeightsUnsuitable if the network has fewer positions than `max_length` tokens."""
    positions = longest_text(network)
    if positions is not None and max_length > positions:
        raise WeightsUnsuitable(
            f"max_length is {max_length}, and the {network.config.model_type} network has positions for {positions} "
            f"tokens: set max_length to at most {positions}"
        )


def longest_text(network: PreTrainedModel) -> int | None:
    """Tokens for which the network has learned positions; None where positions are relative or computed."""
    table = _positions(network)
    if table is None:
        return None
    # RoBERTa and its kin number positions from padding_idx + 1: of 514 rows, 512 are usable.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def length_notes(network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int) -> list[str]:
    """What to know of `max_length` where the network can read texts longer than those it was trained with."""
    trained_with = getattr(network.config, "max_position_embeddings", None)
    if longest_text(network) is None and trained_with and max_length > trained_with:
        return [f"max_length is {max_length}, and the network was trained with at most {trained_with} tokens"]
    if max_length > tokenizer.model_max_length:
        return [
            f"max_length is {max_length}; the tokenizer's configuration names {tokenizer.model_max_length} as the "
            "longest text of its network"
        ]
    return []


def unknown_share(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_length: int) -> float:
    """Share of the tokens of `texts` that are the unknown token; 0 where the tokenizer needs none (byte-level BPE).

    Raises:
        WeightsUnsuitable: the tokenizer cannot split a text.
    """
    try:
        encoded = tokenizer(
            list(texts), add_special_tokens=False, truncation=True, max_length=max_length, verbose=False
        )["input_ids"]
    except Exception as error:  # tokenizers raises bare Exception, for a missing [UNK] among others
        raise WeightsUnsuitable(f"the tokenizer cannot read the texts: {error}") from None
    finally:
        tokenizer.backend_tokenizer.no_truncation()
    ids = [token for row in encoded for token in row]
    if not ids:
        raise WeightsUnsuitable(f"the tokenizer finds no token in any of {len(texts)} texts")
    return ids.count(tokenizer.unk_token_id) / len(ids)


def check_texts(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_length: int, *, limit: float
) -> list[str]:
    """Check that the tokenizer knows the words of `texts`; returns notes.

    Raises:
        WeightsUnsuitable: more than `limit` of their tokens are unknown, or they cannot be split.
    """
    share = unknown_share(tokenizer, texts, max_length)
    what = f"{share:.1%} of the tokens in {len(texts):,} training texts are {tokenizer.unk_token!r} to the tokenizer"
    if share > limit:
        raise WeightsUnsuitable(
            f"{what}, and max_unknown is {limit:g}: the texts are in another language, script or case than the weights"
        )
    return [what] if share > _UNKNOWN_NOTED else []


@torch.inference_mode()
def check_forward(network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int) -> None:
    """Run one text of `max_length` tokens beside a padded one.

    Raises:
        WeightsUnsuitable: the network fails, or gives something that is no finite number.
    """
    rows = [[token for token in tokenizer.get_vocab().values() if token != tokenizer.pad_token_id]]
    rows = [(rows[0] * (max_length // len(rows[0]) + 1))[:max_length], rows[0][:4]]
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")  # gives the attention mask, too
    training = network.training
    network.train(False)
    try:
        logits = network(**batch).logits
    except Exception as error:
        raise WeightsUnsuitable(
            f"the {network.config.model_type} network cannot read a text of {max_length} tokens: "
            f"{type(error).__name__}: {error}"
        ) from None
    finally:
        network.train(training)
    if not torch.isfinite(logits).all():
        raise WeightsUnsuitable(
            f"the {network.config.model_type} network gives NaN or infinity before any training: its "
            "weights are damaged"
        )


def _positions(network: PreTrainedModel) -> nn.Embedding | None:
    """The table of absolute positions."""
    return next(
        (
            module
            for name, module in network.named_modules()
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
        ),
        None,
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
