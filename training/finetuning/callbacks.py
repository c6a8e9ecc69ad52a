"""Trainer callbacks: training history, pace, progress, pruning, and stopping on non-finite values."""

# ruff: noqa: ARG002  a Trainer passes the same arguments to every callback
from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mlflow
from rich.progress import Progress
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.errors import NotFinite
from training.models.result import EpochCallback, History

Entry = Mapping[str, Any]
"""One entry of a Trainer's log: `step`, `epoch`, and either the training's figures or, as `eval_…`, an evaluation's."""

_EVALUATION = "eval_"
_FIGURES = {
    "loss": "validation_loss",
    "accuracy": "accuracy",
    "macro_f1": "macro_f1",
    "macro_precision": "macro_precision",
    "macro_recall": "macro_recall",
}


def evaluation_metrics(entry: Entry) -> dict[str, float]:
    """An evaluation's figures by our names; empty for another entry."""
    return {
        ours: float(entry[_EVALUATION + theirs])
        for theirs, ours in _FIGURES.items()
        if _EVALUATION + theirs in entry
    }


def history_of(log: Sequence[Entry]) -> History:
    """What training curves are drawn from.

    `train_loss` of an evaluation is the mean over the steps since the one before it.
    """
    epochs: list[dict[str, float]] = []
    losses: list[tuple[float, float]] = []
    last = total = since = 0.0
    for entry in log:
        if "loss" in entry:
            steps = entry["step"] - last
            last = entry["step"]
            total, since = total + steps * entry["loss"], since + steps
            losses.append((float(entry["epoch"]), float(entry["loss"])))
        elif quality := evaluation_metrics(entry):
            mean = {"train_loss": total / since} if since else {}
            epochs.append({"epoch": round(float(entry["epoch"]), 4), **mean, **quality})
            total = since = 0.0
    return History(epochs, losses, [dict(entry) for entry in log])


class Pace(TrainerCallback):
    """Logs `texts_per_second`, of the steps since the last evaluation and without it, into the active MLflow run.

    Usage, in an experiment file::

        schedule: {callbacks: ["training.finetuning.callbacks:Pace"]}
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
        """Add the seconds and the texts of the step that has ended."""
        self._seconds += time.perf_counter() - self._started
        self._texts += args.train_batch_size * args.gradient_accumulation_steps

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log, and reset the count."""
        if self._texts and mlflow.active_run():  # logging without one would open one, and leave it open
            mlflow.log_metric("texts_per_second", self._texts / self._seconds, step=state.global_step)
        self._texts, self._seconds = 0, 0.0


_STEP_FIGURES = {"loss": "train_loss", "learning_rate": "learning_rate", "grad_norm": "gradient_norm"}


class LogToMlflow(TrainerCallback):
    """Logs losses as they come, and each evaluation's figures, into the active MLflow run, if there is one.

    A run that resumes from a checkpoint first logs the earlier history, once.
    """

    def __init__(self) -> None:
        self._told: set[tuple[float, bool]] = set()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell what went before."""
        self._tell(state)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log training loss, gradient norm and learning rate, or an evaluation's figures, at this step."""
        self._tell(state)

    def _tell(self, state: TrainerState) -> None:
        new = {(entry["step"], "eval_loss" in entry): entry for entry in state.log_history}
        log_to_mlflow(entry for place, entry in new.items() if place not in self._told)
        self._told |= new.keys()


def log_to_mlflow(entries: Iterable[Entry]) -> None:
    """Log entries of a Trainer's log into the active MLflow run, if there is one."""
    if not mlflow.active_run():  # logging without one would open one, and leave it open
        return
    for entry in entries:
        figures = {ours: float(entry[theirs]) for theirs, ours in _STEP_FIGURES.items() if theirs in entry}
        if quality := evaluation_metrics(entry):
            figures |= {f"epoch_{name}": value for name, value in quality.items()}
            figures["epoch"] = float(entry["epoch"])
        if figures:
            mlflow.log_metrics(figures, step=int(entry["step"]))


class EpochsToWatch(TrainerCallback):
    """Tells the context's `watch` each evaluation, which may end the training by raising."""

    def __init__(self, watch: EpochCallback) -> None:
        self._watch = watch

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Epochs passed, and macro-F1."""
        self._watch(float(state.epoch or 0.0), evaluation_metrics(metrics or {})["macro_f1"])


class StepsToProgress(TrainerCallback):
    """Update the progress bar, and print a line per evaluation."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name
        self._task = progress.add_task(name, total=None)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Now the number of steps is known."""
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """One step further."""
        self._progress.update(self._task, completed=state.global_step)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Say how good it is now."""
        figures = evaluation_metrics(metrics or {})
        self._progress.console.print(
            f"{self._name}: epoch {state.epoch:.3g}, validation loss {figures['validation_loss']:.3f}, "
            f"macro-F1 {figures['macro_f1']:.3f}",
            highlight=False,
        )


class StopOnNonFinite(TrainerCallback):
    """Ends a training whose loss or gradient is no longer a number.

    It looks at what is logged and at evaluations, not at each step, which would make a GPU wait: one such loss makes
    every mean that it enters, and every later weight, not a number either.
    """

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Raise NotFinite where a figure is infinite or not a number."""
        for name in ("loss", "grad_norm", "train_loss", "eval_loss"):
            value = (logs or {}).get(name, 0.0)
            if not math.isfinite(value):
                raise NotFinite(
                    f"{name} is {value} by step {state.global_step} of {state.max_steps}: the training has come apart. "
                    f"A lower learning rate (now {args.learning_rate:g}), a longer warm-up or precision float32 help"
                )


class Checkpointing(TrainerCallback):
    """Requests further checkpoints at a fixed number of steps, and a log entry with each.

    The loss since the last entry is not in a checkpoint; with an entry just before it there is none to lose, and a
    run that resumes from there logs the same losses as an uninterrupted one.
    """

    def __init__(self, every: int | None) -> None:
        self._every = every

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask, where it is time."""
        if self._every and state.global_step % self._every == 0:
            control.should_save = True
        control.should_log |= control.should_save

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """An epoch's end may be a checkpoint too."""
        control.should_log |= control.should_save
