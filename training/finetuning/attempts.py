"""Fine-tuning a network: dynamic padding, length grouping, a fused optimiser, one seed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from training.candidates.config import NetworkConfig
from training.candidates.trained import History, Workplace
from training.data import Splits
from training.finetuning.arguments import training_arguments
from training.finetuning.encoding import EncodedPart
from training.finetuning.following import EpochsToHistory, EpochsToMlflow, EpochsToWatch, StepsToProgress
from training.finetuning.metrics import compute_metrics
from training.finetuning.regularising import strategies_of
from training.finetuning.strategies import Regulariser, Strategies
from training.finetuning.trainer import ClassifierTrainer


def finetune(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: NetworkConfig,
    splits: Splits,
    workplace: Workplace,
    strategies: Strategies | None = None,
    *,
    callbacks: Sequence[TrainerCallback] = (),
) -> History:
    """Train `network` in place on `splits.train`; it ends with the weights of its best epoch on `splits.validation`.

    Each epoch's figures go to the active MLflow run, each step to the workplace's progress bar.

    Args:
        network: with a head for the labels.
        tokenizer: its tokenizer.
        config: how to train.
        splits: the texts; parts other than train and validation are not looked at.
        workplace: where checkpoints go, and the seed.
        strategies: loss, parameter groups and regularisers; None: what `config` asks for.
        callbacks: further callbacks of transformers' Trainer.
    """
    strategies = strategies or strategies_of(config, splits)
    train = EncodedPart(splits.train, splits.labels, tokenizer, config.max_length)
    validation = EncodedPart(splits.validation, splits.labels, tokenizer, config.max_length)
    follower = EpochsToHistory()
    checkpoints = workplace.scratch / "checkpoints"
    with _denormals_flushed(), _prepared(network, strategies.regularisers):
        trainer = ClassifierTrainer(
            network,
            training_arguments(config, checkpoints, seed=workplace.seed, texts=len(train)),
            strategies,
            callbacks=[
                follower,
                EpochsToMlflow(),
                StepsToProgress(workplace.progress, workplace.name),
                EpochsToWatch(workplace.watch),
                *callbacks,
            ],
            train_dataset=train,
            eval_dataset=validation,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=compute_metrics,
        )
        trainer.train()
    return follower.history


@contextmanager
def _prepared(network: PreTrainedModel, regularisers: Sequence[Regulariser]) -> Iterator[None]:
    """The network as regularisers want it; the last to change it is the first to put it back."""
    prepared: list[Regulariser] = []
    try:
        for regulariser in regularisers:
            prepared.append(regulariser)
            regulariser.prepare(network)
        yield
    finally:
        for regulariser in reversed(prepared):
            regulariser.restore(network)


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
