"""Fine-tuning with transformers' Trainer: dynamic padding, length grouping, a fused optimiser, one seed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.utils.data import Dataset
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from training.candidates.config import NetworkConfig
from training.candidates.trained import History, Workplace
from training.data import Part, Splits
from training.following import EpochsToHistory, EpochsToMlflow, StepsToProgress

_LOGS_AN_EPOCH = 10


class EncodedPart(Dataset[dict[str, Any]]):
    """A part of the data, tokenised once; padding is left to each batch."""

    def __init__(
        self, part: Part, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast, max_length: int
    ) -> None:
        positions = {label: position for position, label in enumerate(labels)}
        # A tokenizer warns of texts longer than its model's maximum only where it does not cut them.
        encoded = tokenizer(part.texts, truncation=True, max_length=max_length)
        self._rows = [
            {**{name: encoded[name][index] for name in encoded}, "labels": positions[label]}
            for index, label in enumerate(part.labels)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]


def finetune(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: NetworkConfig,
    splits: Splits,
    workplace: Workplace,
) -> History:
    """Train `network` in place on `splits.train`; it ends with the weights of its best epoch on `splits.validation`.

    Each epoch's figures go to the active MLflow run, each step to the workplace's progress bar.
    """
    train = EncodedPart(splits.train, splits.labels, tokenizer, config.max_length)
    validation = EncodedPart(splits.validation, splits.labels, tokenizer, config.max_length)
    follower = EpochsToHistory()
    with _denormals_flushed():
        trainer = Trainer(
            model=network,
            args=_arguments(config, workplace, steps_an_epoch=_steps_an_epoch(len(train), config)),
            train_dataset=train,
            eval_dataset=validation,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=_metrics,
            callbacks=[follower, EpochsToMlflow(), StepsToProgress(workplace.progress, workplace.name)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return follower.history


def _arguments(config: NetworkConfig, workplace: Workplace, *, steps_an_epoch: int) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(workplace.scratch / "checkpoints"),
        seed=workplace.seed,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=2 * config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup,  # below 1: a share of all steps
        weight_decay=config.weight_decay,
        label_smoothing_factor=config.label_smoothing,
        max_grad_norm=config.max_gradient_norm,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length",
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        dataloader_pin_memory=on_gpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=max(1, steps_an_epoch // _LOGS_AN_EPOCH),
        report_to="none",  # transformers' own MLflow callback leaves runs open
        disable_tqdm=True,
    )


def _steps_an_epoch(texts: int, config: NetworkConfig) -> int:
    return max(1, texts // (config.batch_size * config.accumulation))


def _metrics(prediction: EvalPrediction) -> dict[str, float]:
    logits, truth = prediction.predictions, prediction.label_ids
    chosen = np.asarray(logits).argmax(axis=-1)
    return {
        "accuracy": float(accuracy_score(truth, chosen)),
        "macro_f1": float(f1_score(truth, chosen, average="macro", zero_division=0)),
    }


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Treat numbers below 1e-38 as zero: Adam's moments fall there, and a CPU is a hundred times slower on them."""
    # Tokenisers that were used must not be forked with their threads; there are no workers to fork, so no warning.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
