"""Fine-tuning: train, resume from checkpoints, and restart with a smaller batch when memory runs out."""

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

from training.config.finetuning import ScheduleConfig
from training.config.network import NetworkConfig
from training.data import Splits
from training.finetuning.callbacks import (
    Checkpointing,
    EpochsToWatch,
    LogToMlflow,
    StepsToProgress,
    StopOnNonFinite,
    history_of,
)
from training.finetuning.checkpoints import (
    Checkpoint,
    Checkpoints,
    OutOfMemoryEvent,
    ResumeJournal,
    SealCheckpoints,
    is_out_of_memory,
    keep_weights,
    load_weights,
    release,
    tensorboard,
)
from training.finetuning.regularizers import Regulariser, Strategies, strategies_of
from training.finetuning.run_history import write_history
from training.finetuning.tokenization import encoded_part
from training.finetuning.trainer import (
    ClassifierTrainer,
    compute_metrics,
    kernels_for_training,
    training_arguments,
)
from training.models.fingerprint import training_identity
from training.models.result import History, TrainingContext
from training.models.weight_checks import check_length


def finetune(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: NetworkConfig,
    splits: Splits,
    context: TrainingContext,
    strategies: Strategies | None = None,
    *,
    callbacks: Sequence[TrainerCallback] = (),
) -> History:
    """Train `network` in place on `splits.train`; it ends with its best weights, by macro-F1 on `splits.validation`.

    Figures go to the active MLflow run, each step to the context's progress bar.

    Args:
        network: with a head for the labels.
        tokenizer: its tokenizer.
        config: how to train.
        splits: the texts; parts other than train and validation are not looked at.
        context: where checkpoints go, whether to go on from those that are there, and the seed.
        strategies: loss, parameter groups and regularisers; None: what `config` asks for.
        callbacks: further callbacks of transformers' Trainer.

    Raises:
        OutOfMemory: not even one text at once fits.
        NotFinite: a loss or gradient is no longer a number.
        CheckpointRefused: a checkpoint to go on from was changed, or made elsewhere.
        WeightsUnsuitable: the network has fewer positions than `max_length`.
    """
    check_length(network, config.max_length)
    # Tokenisers that were used must not be forked with their threads; there are no workers to fork, so no warning.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    strategies = strategies or strategies_of(config, splits)
    cache = context.tokens or context.scratch / "tokens"
    train, validation = (
        encoded_part(part, splits.labels, tokenizer, config.max_length, cache)
        for part in (splits.train, splits.validation)
    )
    # For little padding; no figure of an evaluation depends on the order.
    validation = validation.select(np.argsort(validation["length"], kind="stable"), keep_in_memory=True)
    identity = training_identity(config, splits, context.seed, context.inputs)
    checkpoints = Checkpoints(context.scratch / "checkpoints", identity, context.signing_key)
    if not context.resume:
        checkpoints.clear()
    journal = ResumeJournal.open(checkpoints.folder, config.batch_size)
    following = [
        StopOnNonFinite(),
        LogToMlflow(),
        StepsToProgress(context.progress, context.name),
        EpochsToWatch(context.watch),
        *callbacks,
    ]

    def attempt(checkpoint: Checkpoint | None) -> TrainerState | OutOfMemoryEvent:
        with tensorboard(context, config.schedule, checkpoint) as board:
            trainer = ClassifierTrainer(
                network,
                training_arguments(
                    config, checkpoints.folder,
                    seed=context.seed, texts=len(train), batch_size=journal.batch_size,
                ),
                strategies,
                train,
                callbacks=[*following, *board, *_configured_callbacks(config.schedule, checkpoints)],
                eval_dataset=validation,
                processing_class=tokenizer,
                data_collator=DataCollatorWithPadding(tokenizer),
                compute_metrics=compute_metrics,
            )  # fmt: skip
            return _trained_or_short(trainer, checkpoint)

    with kernels_for_training(network), _prepared(network, strategies.regularisers):
        try:
            state = _until_memory_suffices(attempt, network, checkpoints, journal, config, context)
        except Exception as error:
            failed = History(stop_reason=f"failed: {type(error).__name__}: {error}")
            write_history(context, config, journal.enter(failed))
            raise
    found = history_of(state.log_history)
    found = replace(
        found,
        steps=state.global_step,
        stop_reason=_stop_reason(state, config),
        seconds_before=checkpoints.seconds_before,
    )
    history = journal.enter(found)
    write_history(context, config, history)
    if config.schedule.keep:
        keep_weights(context, network, tokenizer, checkpoints.folder)
    return history


def _until_memory_suffices(
    attempt: Callable[[Checkpoint | None], TrainerState | OutOfMemoryEvent],
    network: PreTrainedModel,
    checkpoints: Checkpoints,
    journal: ResumeJournal,
    config: NetworkConfig,
    context: TrainingContext,
) -> TrainerState:
    """Attempt until memory suffices, each time from the last checkpoint, or else from the start."""
    say = partial(context.progress.console.print, highlight=False, soft_wrap=True)
    checkpoint = checkpoints.latest()
    if checkpoint is None:
        checkpoints.keep_start(network)
    else:
        journal.resume(checkpoint)
        checkpoints.seconds_before = checkpoint.seconds
        say(f"{context.name}: resumes from {_place(checkpoint)}" + _from_elsewhere(checkpoint))
    while True:
        if checkpoint is not None and checkpoint.finished:
            load_weights(network, checkpoint.best)
            return checkpoint.state
        result = attempt(checkpoint)
        if isinstance(result, TrainerState):
            return result
        # Nothing refers to the failed attempt any more.
        release(network)
        before = journal.batch_size
        checkpoint = checkpoints.latest()
        journal.restart(result, checkpoint, config)
        if checkpoint is None:
            checkpoints.to_start(network)
        say(
            f"[yellow]{context.name}: out of memory at step {result.step} with {before} texts per batch;[/] continues "
            f"from {_place(checkpoint)} with {journal.batch_size}, and the same number of texts per step"
        )


def _trained_or_short(
    trainer: ClassifierTrainer, checkpoint: Checkpoint | None
) -> TrainerState | OutOfMemoryEvent:
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return OutOfMemoryEvent(trainer.state.global_step, f"{type(error).__name__}: {error}"[:500])
    finally:
        # Else it would compute in bfloat16 ever after, at its export too.
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return trainer.state


def _configured_callbacks(schedule: ScheduleConfig, checkpoints: Checkpoints) -> list[TrainerCallback]:
    """The callbacks of a `schedule`; new ones, because some count."""
    asked: list[TrainerCallback] = [
        Checkpointing(schedule.checkpoint_every),
        SealCheckpoints(checkpoints, keep_all=schedule.keep),
        *(pkgutil.resolve_name(name)() for name in schedule.callbacks),
    ]
    if schedule.patience:
        asked.append(EarlyStoppingCallback(schedule.patience, schedule.min_gain))
    return asked


def _stop_reason(state: TrainerState, config: NetworkConfig) -> str:
    if state.global_step >= state.max_steps:
        return f"finished: all {state.max_steps} steps are done"
    if config.schedule.patience:
        return (
            f"stopped early: no better macro-F1 in {config.schedule.patience} evaluations, "
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
