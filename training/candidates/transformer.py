"""Transformer candidates: load pretrained weights, fine-tune, export to ONNX, and check parity."""

from __future__ import annotations

import time
from dataclasses import replace

from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed
from transformers.utils import logging as transformers_logging

from training.config.network import NetworkConfig
from training.data import Splits
from training.export.candidate import export_candidate
from training.finetuning.loop import finetune
from training.models.pooling import mean_pooled
from training.models.result import History, Trained, TrainingContext
from training.models.weights import load_network


def train_network(config: NetworkConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Fine-tune and export a network, as `model.onnx` and `tokenizer.json`.

    Raises:
        WeightsMissing: its weights cannot be loaded.
        ParityError: the exported network's probabilities are not the trained one's.
    """
    network, tokenizer, history, figures = fit_network(config, splits, context)
    trained = export_candidate(network, tokenizer, config, splits, context, history)
    return replace(trained, figures={**trained.figures, **figures})


def fit_network(
    config: NetworkConfig, splits: Splits, context: TrainingContext
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, History, dict[str, float]]:
    """Load and fine-tune a network, and go no further; with figures of the training by name.

    Raises:
        WeightsMissing: its weights cannot be loaded.
    """
    # It reports that the head is new, which is intended, and prints progress bars.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    started = time.perf_counter()
    figures: dict[str, float] = {}
    if config.self_training is not None:
        from training.semi_supervised.self_training import (
            self_train,  # it trains networks with functions of this module
        )

        def begin(of: NetworkConfig, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
            return initial_model(of, splits, seed)

        network, tokenizer, history, figures = self_train(begin, config, splits, context)
    else:
        network, tokenizer = initial_model(config, splits, context.seed)
        history = finetune(network, tokenizer, config, splits, context)
    figures["training_seconds"] = time.perf_counter() - started + history.seconds_before
    return network, tokenizer, history, figures


def initial_model(
    config: NetworkConfig, splits: Splits, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The network as it is before training, and its tokenizer; `seed` draws what is new of it.

    Raises:
        WeightsMissing: its weights cannot be loaded.
    """
    set_seed(seed)  # the new head is drawn at random
    network, tokenizer = load_network(config.weights, splits.labels, config.layers)
    if config.pooling == "mean":
        network = mean_pooled(network)
    return network, tokenizer
