"""The two ways that are compared: this project's, and the one of most tutorials."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, disable_progress_bars
from rich.console import Console
from rich.progress import Progress
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from training.config.network import NetworkConfig
from training.data import Part, Splits
from training.data.labels import positions_of
from training.evaluation.metrics import confusion_counts, macro_f1
from training.export.onnx import torch_probabilities
from training.finetuning.loop import finetune
from training.finetuning.trainer import compute_metrics
from training.models.result import TrainingContext
from training.models.weights import load_network

Train = Callable[[PreTrainedModel, PreTrainedTokenizerFast, NetworkConfig, Splits, int], None]


@dataclass(frozen=True)
class Measured:
    """One training, timed from texts to trained network: tokenising and each epoch's evaluation are part of it."""

    seconds: float
    """By the clock on the wall."""
    cpu_seconds: float
    """Of this process on all its cores: what the work cost, whatever else the machine did."""
    macro_f1: float
    """On the test part, by the same code for both ways; not timed."""


def plain(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: NetworkConfig,
    splits: Splits,
    seed: int,
) -> None:
    """Trainer as it comes: every text padded to the maximum, its default optimiser, denormals computed with."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=network,
            args=TrainingArguments(
                output_dir=folder,
                seed=seed,
                num_train_epochs=config.epochs,
                per_device_train_batch_size=config.batch_size,
                per_device_eval_batch_size=2 * config.batch_size,
                learning_rate=config.learning_rate,
                warmup_steps=config.warmup,
                weight_decay=config.weight_decay,
                eval_strategy="epoch",
                save_strategy="no",
                dataloader_pin_memory=False,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=_padded(splits.train, splits.labels, tokenizer, config.max_length),
            eval_dataset=_padded(splits.validation, splits.labels, tokenizer, config.max_length),
            compute_metrics=compute_metrics,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def ours(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: NetworkConfig,
    splits: Splits,
    seed: int,
) -> None:
    """As every candidate of this project is trained; its checkpoint an epoch is part of the time."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = Progress(console=Console(quiet=True))
        finetune(
            network,
            tokenizer,
            config,
            splits,
            TrainingContext("ours", Path(folder), Path(folder), seed, quiet),
        )


WAYS: dict[str, Train] = {"plain": plain, "ours": ours}


def measure(way: str, config: NetworkConfig, splits: Splits, seed: int) -> Measured:
    """Train one network in one of the `WAYS`, and score it."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    disable_progress_bars()
    set_seed(seed)
    network, tokenizer = load_network(config.weights, splits.labels, config.layers)
    wall, processor = time.perf_counter(), time.process_time()
    WAYS[way](network, tokenizer, config, splits, seed)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - processor
    network.train(False)
    network.to("cpu")  # type: ignore[arg-type, unused-ignore]
    given = torch_probabilities(network, tokenizer, splits.test.texts, max_length=config.max_length)
    truth = positions_of(splits.test.labels, splits.labels)
    counts = confusion_counts(truth, given.argmax(axis=1), len(splits.labels))
    return Measured(seconds, cpu_seconds, float(macro_f1(counts)))


def _padded(part: Part, labels: tuple[str, ...], tokenizer: PreTrainedTokenizerFast, length: int) -> Dataset:
    """Every text as long as the maximum, as tutorials tokenise."""
    positions = {label: position for position, label in enumerate(labels)}
    rows = Dataset.from_dict({"text": part.texts, "labels": [positions[label] for label in part.labels]})
    return rows.map(
        lambda batch: tokenizer(batch["text"], padding="max_length", truncation=True, max_length=length),
        batched=True,
        remove_columns=["text"],
        keep_in_memory=True,
        load_from_cache_file=False,
    )


def token_lengths(config: NetworkConfig, part: Part) -> dict[str, float]:
    """`mean_tokens` and `longest` of the texts of a part as the network reads them, cut and with special tokens."""
    _, tokenizer = load_network(config.weights, tuple(sorted(set(part.labels))), config.layers)
    encoded = tokenizer(part.texts, truncation=True, max_length=config.max_length)
    lengths = [len(row) for row in encoded["input_ids"]]
    return {"mean_tokens": sum(lengths) / len(lengths), "longest": float(max(lengths))}
