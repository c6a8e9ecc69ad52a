"""Trainings that run short of memory, are broken off, stop early or come apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from classifier.manifest import verify_manifest
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.training.finetuning.conftest import Place, tiny_network, weights
from training.config.finetuning import ScheduleConfig
from training.config.network import NetworkConfig
from training.data import Splits
from training.errors import CheckpointRefused, NotFinite, OutOfMemory
from training.finetuning.loop import finetune
from training.finetuning.run_history import signature
from training.models.result import History, TrainingContext

pytestmark = pytest.mark.slow

KEY = "a key of the tests"


class Interrupt(TrainerCallback):
    """Breaks a training off, as Ctrl-C does, after a step's checkpoint."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def configured(
    batch_size: int = 8, accumulation: int = 1, epochs: float = 2, **schedule: Any
) -> NetworkConfig:
    return NetworkConfig(
        max_length=16,
        epochs=epochs,
        batch_size=batch_size,
        accumulation=accumulation,
        schedule=ScheduleConfig(**schedule),
    )


# -- broken off -------------------------------------------------------------------------------------------------------


def test_resuming_gives_the_same_weights_and_history(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    broken_at = [5, 6, 13]  # in the middle of an epoch, between two, in the last
    # 48 texts in steps of 8 (two batches of 4): six steps an epoch, with dropout.
    config = configured(4, 2, epochs=2.5, checkpoint_every=2, evaluate_every=3)
    whole = tiny_network(len(splits.labels))
    expected = finetune(whole, tokenizer, config, splits, place("whole"))
    context = replace(place("broken"), resume=True, signing_key=KEY)
    for step in broken_at:
        with pytest.raises(KeyboardInterrupt):
            finetune(
                tiny_network(len(splits.labels)), tokenizer, config, splits, context,
                callbacks=[Interrupt(step)],
            )  # fmt: skip
    half = context.scratch / "checkpoints" / "checkpoint-11"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"killed while this was writ")
    network = tiny_network(len(splits.labels))
    history = finetune(network, tokenizer, config, splits, context)
    assert torch.equal(weights(network), weights(whole))
    assert (history.epochs, history.losses) == (expected.epochs, expected.losses)
    assert [entry["step"] for entry in history.resumed] == [
        max(step // 2 * 2, step // 3 * 3) for step in broken_at
    ]
    assert not half.exists()
    # And once more: it is finished, so nothing is trained.
    again = tiny_network(len(splits.labels))
    finetune(again, tokenizer, config, splits, context, callbacks=[Interrupt(0)])
    assert torch.equal(weights(again), weights(whole))


def _flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _claim_another_machine(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["machine"]["processor"] = "another"
    path.write_text(json.dumps(manifest))


def test_a_checkpoint_that_is_not_ours_is_refused(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    config = configured(epochs=1, checkpoint_every=2)
    first = replace(place("first"), resume=True, signing_key=KEY)
    with pytest.raises(KeyboardInterrupt):
        finetune(tiny_network(5), tokenizer, config, splits, first, callbacks=[Interrupt(3)])
    manifest = verify_manifest(first.scratch / "checkpoints" / "checkpoint-2", signing_key=KEY)
    assert manifest["machine"]["processor"]
    for name, change, key, why in (
        ("flipped", _flip, KEY, "model.safetensors" + messages.FILE_CHANGED),
        ("claimed", _claim_another_machine, KEY, messages.SIGNED_AND_CHANGED),
        ("foreign", lambda folder: None, "another key", messages.SIGNED_WITH_ANOTHER_KEY),
    ):
        context = replace(place(name), resume=True, signing_key=key)
        shutil.copytree(first.scratch, context.scratch)
        change(context.scratch / "checkpoints" / "checkpoint-2")
        with pytest.raises(CheckpointRefused, match=messages.CHECKPOINT_REFUSED.format(why)):
            finetune(tiny_network(5), tokenizer, config, splits, context)
    # A training of another rate does not go on with these checkpoints, whoever has signed them.
    other = NetworkConfig(max_length=16, epochs=1, batch_size=16, learning_rate=3e-3)
    history = finetune(tiny_network(5), tokenizer, other, splits, first)
    assert not history.resumed


# -- out of memory ----------------------------------------------------------------------------------------------------


def cramped(network: PreTrainedModel, most: int, *, after: int, allocate: Callable[[], object]) -> list[int]:
    """Let `network` allocate too much when it trains on more than `most` texts at once, after this number of batches.

    Returns the sizes of the batches that it was given while training.
    """
    plain, sizes = network.forward, []

    def forward(_: PreTrainedModel, input_ids: torch.Tensor, **kwargs: Any) -> Any:
        if network.training:
            sizes.append(len(input_ids))
            if len(input_ids) > most and len(sizes) > after:
                allocate()
        return plain(input_ids=input_ids, **kwargs)

    network.forward = MethodType(forward, network)
    return sizes


def run_short(
    most: int, after: int, allocate: Callable[[], object], config: NetworkConfig, context: TrainingContext,
    splits: Splits, tokenizer: PreTrainedTokenizerFast,
) -> tuple[PreTrainedModel, History, list[int]]:  # fmt: skip
    network = tiny_network(len(splits.labels), dropout=0.0)
    sizes = cramped(network, most, after=after, allocate=allocate)
    return network, finetune(network, tokenizer, config, splits, context), sizes


@pytest.mark.parametrize(
    ("after", "allocate", "from_step"),
    [(0, lambda: torch.empty(2**50), 0), (8, lambda: bytearray(2**62), 6)],
    ids=["torch, at the start", "host, later"],
)
def test_out_of_memory_halves_the_batch_only(
    place: Place,
    splits: Splits,
    tokenizer: PreTrainedTokenizerFast,
    after: int,
    allocate: Callable[[], object],
    from_step: int,
) -> None:
    # In bfloat16 a smaller batch is rounded otherwise.
    config = configured(8, 1, epochs=2, precision="float32")
    roomy = tiny_network(len(splits.labels), dropout=0.0)
    expected = finetune(roomy, tokenizer, config, splits, place("roomy"))
    context = replace(place("cramped"), records=place("cramped").scratch / "records", signing_key=KEY)
    network, history, sizes = run_short(3, after, allocate, config, context, splits, tokenizer)

    assert [(item["batch_size"], item["accumulation"]) for item in history.restarts] == [(4, 2), (2, 4)]
    assert [item["from_step"] for item in history.restarts] == [from_step, from_step]
    assert history.figures() == {"steps": 12.0, "out_of_memory_restarts": 2.0}
    assert set(sizes[after + 2 :]) == {2}
    rates = [entry["learning_rate"] for entry in history.log if "learning_rate" in entry]
    assert rates == [entry["learning_rate"] for entry in expected.log if "learning_rate" in entry]
    assert history.steps == expected.steps
    # The same texts a step, so but for rounding the same losses and weights.
    assert [loss for _, loss in history.losses] == pytest.approx(
        [loss for _, loss in expected.losses], rel=1e-4
    )
    assert torch.allclose(weights(network), weights(roomy), atol=2e-3)
    written = json.loads((context.records / "run_history.json").read_text())
    assert written["restarts"] == history.restarts
    assert written["hmac"] == signature(written, KEY)


def test_a_restart_is_remembered_after_a_kill(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    config = configured(8, 1, epochs=1, checkpoint_every=2)
    context = replace(place(), resume=True)
    network = tiny_network(len(splits.labels))
    cramped(network, 4, after=0, allocate=lambda: torch.empty(2**50))
    with pytest.raises(KeyboardInterrupt):
        finetune(network, tokenizer, config, splits, context, callbacks=[Interrupt(3)])
    _, history, sizes = run_short(4, 0, lambda: torch.empty(2**50), config, context, splits, tokenizer)
    assert set(sizes) == {4}
    assert len(history.restarts) == len(history.resumed) == 1


def test_memory_for_not_even_one_text_is_said(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(OutOfMemory, match=messages.BATCH_OF_ONE_TOO_LARGE):
        run_short(0, 0, lambda: torch.empty(2**50), configured(2), place(), splits, tokenizer)


# -- how it ends, and what is kept ------------------------------------------------------------------------------------


class StopAtFour(TrainerCallback):
    """A callback of the user's."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_training_stop |= state.global_step >= 4


def test_no_better_evaluation_stops_a_training_early(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    # A rate of nearly nothing: the first evaluation is the best.
    config = configured(epochs=3, evaluate_every=2, patience=2).model_copy(update={"learning_rate": 1e-12})
    whole = tiny_network(len(splits.labels))
    history = finetune(whole, tokenizer, config, splits, place("whole"))
    assert [entry["step"] for entry in history.log if "eval_loss" in entry] == [2, 4, 6]
    assert history.stop_reason == "stopped early: no better macro-F1 in 2 evaluations, after 6 of 18 steps"
    # Patience counts over a break.
    context = replace(place("broken"), resume=True)
    with pytest.raises(KeyboardInterrupt):
        finetune(
            tiny_network(len(splits.labels)), tokenizer, config, splits, context, callbacks=[Interrupt(5)]
        )
    assert finetune(tiny_network(5), tokenizer, config, splits, context).stop_reason == history.stop_reason


def test_what_is_kept_of_a_training(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    config = configured(
        evaluate_every=2, keep=True, callbacks=(f"{__name__}:StopAtFour",), precision="bfloat16"
    )
    context = replace(place(), records=tmp_path / "records", tokens=tmp_path / "tokens")
    network = tiny_network(len(splits.labels))
    history = finetune(network, tokenizer, config, splits, context)
    assert history.stop_reason == "stopped by a callback after 4 of 12 steps"

    records = tmp_path / "records"
    written = json.loads((records / "run_history.json").read_text())
    assert written["epochs"] == history.epochs
    assert {"macro_precision", "macro_recall", "accuracy", "macro_f1"} <= set(history.epochs[0])
    assert written["config"]["schedule"]["evaluate_every"] == 2
    assert written["machine"]["processor"]
    loaded = AutoModelForSequenceClassification.from_pretrained(records / "model")
    assert torch.equal(weights(loaded), weights(network))
    assert AutoTokenizer.from_pretrained(records / "model")("a text") == tokenizer("a text")
    checkpoints = sorted(path.name for path in (records / "checkpoints").iterdir())
    assert checkpoints == ["checkpoint-2", "checkpoint-4"]

    board = EventAccumulator(str(records / "tensorboard"))
    board.Reload()
    drawn = [(event.step, event.value) for event in board.Scalars("eval/macro_recall")]
    assert drawn == [
        (2 * number, pytest.approx(entry["macro_recall"])) for number, entry in enumerate(history.epochs, 1)
    ]


def test_pace_is_logged_with_each_evaluation(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path / "var"))
    config = configured(evaluate_every=4, callbacks=("training.finetuning.callbacks:Pace",))
    with registry.run("pace", "tiny") as run:
        history = finetune(tiny_network(len(splits.labels)), tokenizer, config, splits, place())
    logged = registry.client.get_metric_history(run.info.run_id, "texts_per_second")
    assert [metric.step for metric in logged] == [4, 8, 12]
    assert len(history.epochs) == 3
    assert all(metric.value > 0 for metric in logged)


def test_a_training_that_comes_apart_is_stopped(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    network = tiny_network(len(splits.labels))
    with torch.no_grad():
        network.classifier.weight[0, 0] = float("nan")
    context = replace(place(), records=tmp_path / "records")
    with pytest.raises(NotFinite, match=messages.LOSS_NOT_FINITE):
        finetune(network, tokenizer, configured(), splits, context)
    written = json.loads((tmp_path / "records" / "run_history.json").read_text())
    assert written["stop_reason"].startswith("failed: NotFinite")
