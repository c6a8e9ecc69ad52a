"""A network as a candidate: pretrained weights, fine-tuned, exported, and shown to compute the same after export."""

from __future__ import annotations

import torch
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from classifier import Description
from training.candidates.config import NetworkConfig
from training.candidates.trained import Trained, Workplace
from training.candidates.weights import load_network
from training.data import Splits
from training.export import MODEL_FILE, export_network
from training.finetuning import finetune


def train_network(config: NetworkConfig, splits: Splits, workplace: Workplace) -> Trained:
    """Fine-tune and export a network, as `model.onnx` and `tokenizer.json`.

    Raises:
        WeightsMissing: its weights cannot be loaded.
        ParityError: the exported network's probabilities are not the trained one's.
    """
    # It reports that the head is new, which is meant, and draws bars of its own.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    set_seed(workplace.seed)  # the new head is drawn at random
    network, tokenizer = load_network(config.weights, splits.labels, config.layers)
    history = finetune(network, tokenizer, config, splits, workplace)
    description = Description(
        kind="onnx",
        model_file=MODEL_FILE,
        labels=splits.labels,
        max_length=config.max_length,
        candidate=workplace.name,
    )
    difference = export_network(
        network,
        tokenizer,
        workplace.bundle,
        description,
        texts=splits.validation.texts[:64],
        tolerance=config.parity_tolerance,
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    # The next candidate needs the memory.
    del network
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Trained(description, history, {"parameters": float(parameters), "parity_difference": difference})
