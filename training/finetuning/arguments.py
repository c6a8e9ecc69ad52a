"""A candidate's configuration as transformers' TrainingArguments."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainingArguments

from training.candidates.config import NetworkConfig
from training.finetuning.precision import computes_in_bfloat16

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
    course = config.course
    texts_a_step = config.batch_size * config.accumulation
    rhythm = "steps" if course.evaluate_every else "epoch"
    on_gpu = torch.cuda.is_available()
    bfloat16 = computes_in_bfloat16(course)
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
        max_grad_norm=config.max_gradient_norm,
        optim="adamw_torch_fused",
        bf16=bfloat16,
        use_cpu=bfloat16 and not on_gpu,  # else it asks for a GPU
        dataloader_pin_memory=on_gpu,
        eval_strategy=rhythm,
        eval_steps=course.evaluate_every,
        save_strategy=rhythm,
        save_steps=course.evaluate_every or 500,  # not looked at where the rhythm is epochs
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=max(1, texts // texts_a_step // _LOGS_AN_EPOCH),
        logging_nan_inf_filter=False,  # what is not a number ends the training, see OnlyFinite
        report_to="none",  # transformers' own MLflow callback leaves runs open
        disable_tqdm=True,
    )
