"""Training arguments of transformers' Trainer, and the numeric precision of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel, TrainingArguments

from training.finetuning.config import ScheduleConfig
from training.models.config import NetworkConfig


def computes_in_bfloat16(schedule: ScheduleConfig) -> bool:
    """Whether matrix products are computed in bfloat16 (Kalamkar et al. 2019, arXiv:1905.12322).

    `python -m benchmarks.training` says what it brings, and that the network is as good.
    """
    if schedule.precision != "auto":
        return schedule.precision == "bfloat16"
    return _fast_bfloat16()


def precision_note(schedule: ScheduleConfig) -> str:
    """What to know where bfloat16 is asked for and the hardware only emulates it; else empty."""
    if schedule.precision != "bfloat16" or _fast_bfloat16():
        return ""
    device = "GPU" if torch.cuda.is_available() else "processor"
    return (
        f"`schedule.precision` is bfloat16, which this {device} emulates: slower than float32, and less exact. `auto` "
        "would take float32"
    )


def _fast_bfloat16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@contextmanager
def kernels_for_training(network: PreTrainedModel) -> Iterator[None]:
    """What trains fastest on a CPU, put back as it was behind the block.

    Numbers below 1e-38 are zero: Adam's moments fall there, and a CPU is a hundred times slower on them. Attention is
    computed step by step: torch's fused kernel for CPUs knows no dropout, and what it falls back to is slower.
    """
    before = network.config._attn_implementation
    on_gpu = torch.cuda.is_available()
    torch.set_flush_denormal(True)
    if not on_gpu:
        network.set_attn_implementation("eager")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        if not on_gpu:
            network.set_attn_implementation(before)


_LOGS_AN_EPOCH = 10


def training_arguments(
    config: NetworkConfig, checkpoints: Path, *, seed: int, texts: int, batch_size: int
) -> TrainingArguments:
    """How to train.

    Args:
        config: the candidate.
        checkpoints: folder for them.
        seed: fixes dropout and the order of texts.
        texts: texts of the training part.
        batch_size: texts that pass through the network at once, a divisor of those of a step.
    """
    schedule = config.schedule
    texts_a_step = config.batch_size * config.accumulation
    rhythm = "steps" if schedule.evaluate_every else "epoch"
    on_gpu = torch.cuda.is_available()
    bfloat16 = computes_in_bfloat16(schedule)
    return TrainingArguments(
        output_dir=str(checkpoints),
        seed=seed,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=2 * batch_size,
        gradient_accumulation_steps=texts_a_step // batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup,  # below 1: a share of all steps
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=bfloat16,
        use_cpu=bfloat16 and not on_gpu,  # else it asks for a GPU
        dataloader_pin_memory=on_gpu,
        eval_strategy=rhythm,
        eval_steps=schedule.evaluate_every,
        save_strategy=rhythm,
        save_steps=schedule.evaluate_every or 500,  # not looked at where the rhythm is epochs
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=max(1, texts // texts_a_step // _LOGS_AN_EPOCH),
        logging_nan_inf_filter=False,  # what is not a number ends the training, see StopOnNonFinite
        report_to="none",  # transformers' own MLflow callback leaves runs open
        disable_tqdm=True,
    )
