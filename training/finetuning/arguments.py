"""A candidate's configuration as transformers' TrainingArguments."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainingArguments

from training.candidates.config import NetworkConfig

_LOGS_AN_EPOCH = 10


def training_arguments(
    config: NetworkConfig, checkpoints: Path, *, seed: int, texts: int
) -> TrainingArguments:
    """How to train on so many `texts`, with checkpoints in the folder `checkpoints`."""
    on_gpu = torch.cuda.is_available()
    steps_an_epoch = max(1, texts // (config.batch_size * config.accumulation))
    return TrainingArguments(
        output_dir=str(checkpoints),
        seed=seed,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=2 * config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup,  # below 1: a share of all steps
        max_grad_norm=config.max_gradient_norm,
        optim="adamw_torch_fused",
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
