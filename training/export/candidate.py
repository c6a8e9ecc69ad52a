"""Export of a trained network as a candidate: ONNX, parity, and int8."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from classifier import Description
from classifier.precision import INT8_FILE
from training.config.network import HeadConfig, NetworkConfig
from training.data import Splits
from training.export.onnx import MODEL_FILE, export_network
from training.export.quantize import add_int8
from training.models.result import History, Trained, TrainingContext


def export_candidate(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: NetworkConfig | HeadConfig,
    splits: Splits,
    context: TrainingContext,
    history: History,
) -> Trained:
    """A trained `network` as a candidate: exported, shown to compute the same, and quantised if that is asked for.

    Raises:
        ParityError: the exported network's probabilities are not the trained one's.
    """
    description = Description(
        kind="onnx",
        model_file=MODEL_FILE,
        labels=splits.labels,
        max_length=config.max_length,
        candidate=context.name,
    )
    difference = export_network(
        network,
        tokenizer,
        context.bundle,
        description,
        texts=splits.validation.texts[:64],
        tolerance=config.parity_tolerance,
    )
    figures = {
        "parameters": float(sum(parameter.numel() for parameter in network.parameters())),
        "parity_difference": difference,
        **history.figures(),
    }
    if config.int8:
        check = add_int8(context.bundle, config.int8, splits.validation)
        context.progress.console.print(f"{context.name}: {check}", highlight=False)
        figures |= check.figures()
        if check.passed and config.int8.serve:
            description = description.model_copy(update={"model_file": INT8_FILE})
    # The next candidate needs the memory.
    del network
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Trained(description, history, figures)
