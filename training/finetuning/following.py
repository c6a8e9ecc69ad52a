"""Following a Trainer: its steps to a progress bar, its epochs to the active MLflow run and to a history."""

# ruff: noqa: ARG002  a Trainer hands the same arguments to every callback
from __future__ import annotations

from typing import Any

import mlflow
from rich.progress import Progress
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.candidates.trained import History, Watch

_EVALUATION = "eval_"
_FIGURES = {
    "loss": "validation_loss",
    "accuracy": "accuracy",
    "macro_f1": "macro_f1",
    "macro_precision": "macro_precision",
    "macro_recall": "macro_recall",
}


class EpochsToHistory(TrainerCallback):
    """Keeps what the training curves are drawn from."""

    def __init__(self) -> None:
        self.history = History()
        self._losses: list[float] = []

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Gather the losses since the last evaluation."""
        if logs and "loss" in logs:
            self._losses.append(logs["loss"])
            self.history.losses.append((float(state.epoch or 0.0), logs["loss"]))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Close the epoch."""
        self.history.epochs.append(
            {
                "epoch": round(float(state.epoch or 0.0), 4),
                **({"train_loss": sum(self._losses) / len(self._losses)} if self._losses else {}),
                **_evaluated(metrics),
            }
        )
        self._losses = []


class EpochsToMlflow(TrainerCallback):
    """Logs losses as they come, and each epoch's figures, into the active MLflow run, if there is one."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log training loss, gradient norm and learning rate at this step."""
        names = {"loss": "train_loss", "learning_rate": "learning_rate", "grad_norm": "gradient_norm"}
        found = {names[key]: float(value) for key, value in (logs or {}).items() if key in names}
        if found and mlflow.active_run():  # logging without one would open one, and leave it open
            mlflow.log_metrics(found, step=state.global_step)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log the figures on the validation part at this step."""
        if not mlflow.active_run():
            return
        figures = {f"epoch_{name}": value for name, value in _evaluated(metrics).items()}
        mlflow.log_metrics({**figures, "epoch": float(state.epoch or 0.0)}, step=state.global_step)


class EpochsToWatch(TrainerCallback):
    """Tells the workplace's `watch` each evaluation, which may end the training by raising."""

    def __init__(self, watch: Watch) -> None:
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
        self._watch(float(state.epoch or 0.0), _evaluated(metrics)["macro_f1"])


class StepsToProgress(TrainerCallback):
    """Moves a progress bar, which tells the time left, and prints a line an epoch."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name
        self._task = progress.add_task(name, total=None)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Now the number of steps is known."""
        self._progress.update(self._task, total=state.max_steps)

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
        """Say how good this epoch was."""
        figures = _evaluated(metrics)
        self._progress.console.print(
            f"{self._name}: epoch {state.epoch:.3g}, validation loss {figures['validation_loss']:.3f}, "
            f"macro-F1 {figures['macro_f1']:.3f}",
            highlight=False,
        )


def _evaluated(metrics: dict[str, float] | None) -> dict[str, float]:
    """An evaluation's figures by our names; what is not a figure of quality is left out."""
    named = {key.removeprefix(_EVALUATION): float(value) for key, value in (metrics or {}).items()}
    return {ours: named[theirs] for theirs, ours in _FIGURES.items() if theirs in named}
