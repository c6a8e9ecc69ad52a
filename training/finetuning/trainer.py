"""The Trainer and its arguments: precision, batches by length, evaluation metrics, hooks for loss and regularisers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices

from training.config.finetuning import ScheduleConfig
from training.config.network import NetworkConfig
from training.finetuning.regularizers import Batch, Strategies, cross_entropy, mean_of_step


def computes_in_bfloat16(schedule: ScheduleConfig) -> bool:
    """Whether matrix products are computed in bfloat16 (Kalamkar et al. 2019, arXiv:1905.12322).

    `python -m benchmarks.training` says what it brings, and that the network is as good.
    """
    if schedule.precision != "auto":
        return schedule.precision == "bfloat16"
    return _fast_bfloat16()


def precision_note(schedule: ScheduleConfig) -> str:
    """A remark if bfloat16 is requested and the hardware only emulates it; else empty."""
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


class LengthOrder(Sampler[int]):
    """Texts of similar length next to one another, sampled again each epoch from seed and epoch alone.

    transformers' own draws from torch's global generator: a run that resumes in the middle of an epoch, when dropout
    has moved that generator on, gets another order and sees some texts twice and others never."""

    def __init__(self, lengths: Sequence[int], group: int, seed: int) -> None:
        self._lengths, self._group, self._seed = list(lengths), group, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader when an epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order: list[int] = get_length_grouped_indices(self._lengths, self._group, generator=generator)  # type: ignore[no-untyped-call]
        return iter(order)


def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 as means over labels; 0 where there is nothing to divide by."""
    logits, truth = prediction.predictions, prediction.label_ids
    chosen = np.asarray(logits).argmax(axis=-1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, chosen, average="macro", zero_division=0
    )
    return {
        "accuracy": float(accuracy_score(truth, chosen)),
        "macro_f1": float(f1),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
    }


class ClassifierTrainer(Trainer):
    """A Trainer of classifiers.

    Three things differ. The loss of a step is the mean over all its texts, so accumulation is exact whatever the loss.
    The validation loss is cross-entropy whatever was trained with, so candidates can be compared by it. The order of
    texts is a function of seed and epoch, so a training continues in the middle of an epoch with the texts that are
    left of it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        strategies: Strategies,
        train_dataset: Dataset,
        *,
        callbacks: Sequence[TrainerCallback] = (),
        **kwargs: Any,
    ) -> None:
        self._strategies, self._network = strategies, model
        # Read here: the Trainer takes columns away that the network does not know.
        self._lengths = list(train_dataset["length"])
        super().__init__(
            model=model,
            train_dataset=train_dataset,
            args=args,
            compute_loss_func=self._loss,
            callbacks=[*callbacks],
            **kwargs,
        )
        self.remove_callback(PrinterCallback)

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """One batch forward and backward, and what the regularisers do before and after it."""
        regularisers = self._strategies.regularisers
        if not regularisers:
            return super().training_step(model, inputs, num_items_in_batch)
        inputs = self._prepare_inputs(inputs)
        batch = Batch(
            network=self._network,
            epoch=float(self.state.epoch or 0.0),
            step=self.state.global_step,
            backward=partial(self._backward, model, inputs, num_items_in_batch),
        )
        for regulariser in regularisers:
            regulariser.before_backward(batch)
        loss = super().training_step(model, dict(inputs), num_items_in_batch)
        for regulariser in regularisers:
            regulariser.after_backward(batch)
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective's loss in training, where there is one; this batch's share of the mean over its step."""
        objective = self._strategies.objective
        if objective is None or not self._network.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss, outputs = objective(self._network, inputs)
        if num_items_in_batch is not None:
            loss = loss * len(inputs["labels"]) / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:  # noqa: ARG002
        """AdamW over the given groups of parameters."""
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self._network)
            self.optimizer = kind(self._strategies.parameter_groups(self._network), **options)
        return self.optimizer

    def _loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        loss = self._strategies.loss if self._network.training else cross_entropy
        return mean_of_step(loss, outputs["logits"], labels, num_items_in_batch)

    def _backward(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None
    ) -> Tensor:
        with self.compute_loss_context_manager():
            # A copy: the labels are taken out of it.
            loss = self.compute_loss(model, dict(inputs), num_items_in_batch=num_items_in_batch)
        assert isinstance(loss, Tensor), "a tuple comes only with return_outputs"
        self.accelerator.backward(loss)
        return loss.detach()

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        assert train_dataset is not None
        group = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthOrder(self._lengths, group, self.args.seed)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        # Twice the size of the network, and no run resumes from the last step.
        if self.state.global_step < self.state.max_steps:
            super()._save_optimizer_and_scheduler(output_dir)
