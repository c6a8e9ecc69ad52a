"""How fast a training is: a callback to name in an experiment file, and the pattern for one of one's own."""

# ruff: noqa: ARG002  a Trainer hands the same arguments to every callback
from __future__ import annotations

import time
from typing import Any

import mlflow
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Pace(TrainerCallback):
    """Logs `texts_per_second`, of the steps since the last evaluation and without it, into the active MLflow run.

    Usage, in an experiment file::

        course: {callbacks: ["training.finetuning.pace:Pace"]}
    """

    def __init__(self) -> None:
        self._texts, self._seconds, self._started = 0, 0.0, 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step begins."""
        self._started = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step of so many texts has ended."""
        self._seconds += time.perf_counter() - self._started
        self._texts += args.train_batch_size * args.gradient_accumulation_steps

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log, and begin to count anew."""
        if self._texts and mlflow.active_run():  # logging without one would open one, and leave it open
            mlflow.log_metric("texts_per_second", self._texts / self._seconds, step=state.global_step)
        self._texts, self._seconds = 0, 0.0
