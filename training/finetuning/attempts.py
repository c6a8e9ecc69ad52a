"""Fine-tuning a network: an attempt, and while memory does not suffice, another with fewer texts at once."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerState,
)

from training.candidates.config import NetworkConfig
from training.candidates.course import CourseConfig
from training.candidates.trained import History, Workplace
from training.data import Splits
from training.finetuning.arguments import training_arguments
from training.finetuning.checkpoints import Checkpoint, Checkpoints, SealCheckpoints, load_weights
from training.finetuning.following import (
    Checkpointing,
    EpochsToWatch,
    LogToMlflow,
    OnlyFinite,
    StepsToProgress,
)
from training.finetuning.history import history_of
from training.finetuning.ledger import Ledger, Shortage
from training.finetuning.memory import is_out_of_memory, release
from training.finetuning.metrics import compute_metrics
from training.finetuning.precision import kernels_for_training
from training.finetuning.records import keep_weights, tensorboard, write_history
from training.finetuning.regularising import strategies_of
from training.finetuning.strategies import Regulariser, Strategies
from training.finetuning.tokens import encoded_part
from training.finetuning.trainer import ClassifierTrainer
from training.identity import training_identity


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
    """Train `network` in place on `splits.train`; it ends with its best weights, by macro-F1 on `splits.validation`.

    Figures go to the active MLflow run, each step to the workplace's progress bar.

    Args:
        network: with a head for the labels.
        tokenizer: its tokenizer.
        config: how to train.
        splits: the texts; parts other than train and validation are not looked at.
        workplace: where checkpoints go, whether to go on from those that are there, and the seed.
        strategies: loss, parameter groups and regularisers; None: what `config` asks for.
        callbacks: further callbacks of transformers' Trainer.

    Raises:
        OutOfMemory: not even one text at once fits.
        NotFinite: a loss or gradient is no longer a number.
        CheckpointRefused: a checkpoint to go on from was changed, or made elsewhere.
    """
    # Tokenisers that were used must not be forked with their threads; there are no workers to fork, so no warning.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    strategies = strategies or strategies_of(config, splits)
    cache = workplace.tokens or workplace.scratch / "tokens"
    train, validation = (
        encoded_part(part, splits.labels, tokenizer, config.max_length, cache)
        for part in (splits.train, splits.validation)
    )
    # For little padding; no figure of an evaluation depends on the order.
    validation = validation.select(np.argsort(validation["length"], kind="stable"), keep_in_memory=True)
    identity = training_identity(config, splits, workplace.seed)
    checkpoints = Checkpoints(workplace.scratch / "checkpoints", identity, workplace.signing_key)
    if not workplace.resume:
        checkpoints.clear()
    ledger = Ledger.open(checkpoints.folder, config.batch_size)
    following = [
        OnlyFinite(),
        LogToMlflow(),
        StepsToProgress(workplace.progress, workplace.name),
        EpochsToWatch(workplace.watch),
        *callbacks,
    ]

    def attempt(checkpoint: Checkpoint | None) -> TrainerState | Shortage:
        with tensorboard(workplace, config.course, checkpoint) as board:
            trainer = ClassifierTrainer(
                network,
                training_arguments(
                    config, checkpoints.folder,
                    seed=workplace.seed, texts=len(train), batch_size=ledger.batch_size,
                ),
                strategies,
                train,
                callbacks=[*following, *board, *_asked_for(config.course, checkpoints)],
                eval_dataset=validation,
                processing_class=tokenizer,
                data_collator=DataCollatorWithPadding(tokenizer),
                compute_metrics=compute_metrics,
            )  # fmt: skip
            return _trained_or_short(trainer, checkpoint)

    with kernels_for_training(network), _prepared(network, strategies.regularisers):
        try:
            state = _until_memory_suffices(attempt, network, checkpoints, ledger, config, workplace)
        except Exception as error:
            failed = History(stop_reason=f"failed: {type(error).__name__}: {error}")
            write_history(workplace, config, ledger.enter(failed))
            raise
    found = history_of(state.log_history)
    found = replace(found, steps=state.global_step, stop_reason=_stop_reason(state, config))
    history = ledger.enter(found)
    write_history(workplace, config, history)
    if config.course.keep:
        keep_weights(workplace, network, tokenizer, checkpoints.folder)
    return history


def _until_memory_suffices(
    attempt: Callable[[Checkpoint | None], TrainerState | Shortage],
    network: PreTrainedModel,
    checkpoints: Checkpoints,
    ledger: Ledger,
    config: NetworkConfig,
    workplace: Workplace,
) -> TrainerState:
    """Attempt until memory suffices, each time from the last checkpoint, or else from the start."""
    say = partial(workplace.progress.console.print, highlight=False, soft_wrap=True)
    checkpoint = checkpoints.latest()
    if checkpoint is None:
        checkpoints.keep_start(network)
    else:
        ledger.resume(checkpoint)
        say(f"{workplace.name}: goes on from {_place(checkpoint)}" + _from_elsewhere(checkpoint))
    while True:
        if checkpoint is not None and checkpoint.finished:
            load_weights(network, checkpoint.best)
            return checkpoint.state
        result = attempt(checkpoint)
        if isinstance(result, TrainerState):
            return result
        # Nothing refers to the failed attempt any more.
        release(network)
        before = ledger.batch_size
        checkpoint = checkpoints.latest()
        ledger.restart(result, checkpoint, config)
        if checkpoint is None:
            checkpoints.to_start(network)
        say(
            f"[yellow]{workplace.name}: out of memory at step {result.step} with {before} texts at once;[/] goes on "
            f"from {_place(checkpoint)} with {ledger.batch_size}, and as many texts a step as before"
        )


def _trained_or_short(trainer: ClassifierTrainer, checkpoint: Checkpoint | None) -> TrainerState | Shortage:
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return Shortage(trainer.state.global_step, f"{type(error).__name__}: {error}"[:500])
    finally:
        # Else it would compute in bfloat16 ever after, at its export too.
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return trainer.state


def _asked_for(course: CourseConfig, checkpoints: Checkpoints) -> list[TrainerCallback]:
    """The callbacks of a `course`; new ones, because some count."""
    asked: list[TrainerCallback] = [
        Checkpointing(course.checkpoint_every),
        SealCheckpoints(checkpoints, keep_all=course.keep),
        *(pkgutil.resolve_name(name)() for name in course.callbacks),
    ]
    if course.patience:
        asked.append(EarlyStoppingCallback(course.patience, course.min_gain))
    return asked


def _stop_reason(state: TrainerState, config: NetworkConfig) -> str:
    if state.global_step >= state.max_steps:
        return f"finished: all {state.max_steps} steps are done"
    if config.course.patience:
        return (
            f"stopped early: no better macro-F1 in {config.course.patience} evaluations, "
            f"after {state.global_step} of {state.max_steps} steps"
        )
    return f"stopped by a callback after {state.global_step} of {state.max_steps} steps"


def _place(checkpoint: Checkpoint | None) -> str:
    if checkpoint is None:
        return "the start"
    return f"step {checkpoint.state.global_step} of {checkpoint.state.max_steps}"


def _from_elsewhere(checkpoint: Checkpoint) -> str:
    if checkpoint.elsewhere is None:
        return ""
    return (
        f", which another machine made ({checkpoint.elsewhere.get('processor', 'unknown')}): "
        "its weights may differ in the last digits from those of a training on one machine"
    )


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
