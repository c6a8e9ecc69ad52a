"""Fit a cascade: the weights of its stages' log-probabilities, and their thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from classifier import Description
from classifier.batches import DEFAULT_BATCH_TOKENS, cut_batches
from classifier.description import DESCRIPTION_FILE
from classifier.runtime import Logits, RuntimeOptions
from classifier.runtimes.cascade import (
    STAGES_FOLDER,
    CascadeDescription,
    CascadeModel,
    RelaxedThresholds,
    StageDescription,
    log_softmax,
)
from training.cascade.thresholds import StageAnswers, StageThresholds, choose_thresholds, texts_needed
from training.config.candidate import CascadeConfig
from training.data import Splits
from training.data.labels import positions_of
from training.errors import StageUnusable
from training.models.result import Trained, TrainingContext

RELAXED_LOSSES = (0.01, 0.02, 0.05, 0.1)
"""Limits for which `CASCADE_OVERLOAD_LOSS` of the service finds lower thresholds in the bundle."""
_NOT_COPIED = {"golden.json", "int8.json", "manifest.json", "reference.parquet"}


def fit_cascade(config: CascadeConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Copy the stages into one bundle, and fit weights and thresholds on the validation part.

    Texts without labels (`data.split.calibration`) count for the thresholds as well: on them, each disagreement of an
    early stage with the whole cascade is taken for a loss. Those of `data.split.unlabelled` do not: a stage that has
    learned another stage's answers to them agrees with it there more often than on new texts.

    Raises:
        StageUnusable: a stage comes later in the experiment, has failed, or is a cascade.
    """
    texts = [*splits.validation.texts, *splits.calibration]
    task = context.progress.add_task(context.name, total=len(texts))
    descriptions = [_copied(name, splits, context, last=name == config.stages[-1]) for name in config.stages]
    last = descriptions[-1]
    description = Description(
        kind="cascade",
        model_file=last.model_file,
        labels=splits.labels,
        max_length=last.max_length,
        candidate=context.name,
    )
    description.write(context.bundle)
    never = (None,) * len(splits.labels)
    stages = [
        StageDescription(
            name=name, kind=own.kind, weights=(1.0,) * (place + 1),
            thresholds=never if place < len(descriptions) - 1 else None,
        )
        for place, (name, own) in enumerate(zip(config.stages, descriptions, strict=True))
    ]  # fmt: skip
    CascadeDescription(stages=tuple(stages)).write(context.bundle)

    model = CascadeModel.load(context.bundle, description, RuntimeOptions())
    found = run_stages(
        model, texts, len(splits.labels), advance=lambda count: context.progress.advance(task, count)
    )
    known = positions_of(splits.validation.labels, splits.labels)
    truth = np.concatenate([known, np.full(len(splits.calibration), -1)])
    weights = fit_weights(found, truth)
    chosen = fit_thresholds(found, weights, truth, config)
    cascade = CascadeDescription(
        stages=tuple(
            stage.model_copy(
                update={
                    "weights": weights[place],
                    "thresholds": chosen[place].thresholds if place < len(chosen) else None,
                    "relaxed": fit_relaxed(found, weights, truth, config) if place == 0 else (),
                }
            )
            for place, stage in enumerate(stages)
        ),
        calibration={
            "max_accuracy_loss": config.max_accuracy_loss,
            "max_class_loss": config.max_class_loss,
            "confidence": config.confidence,
            "labelled_texts": len(known),
            "unlabelled_texts": len(splits.calibration),
            "share_early": sum(item.share for item in chosen),
            "loss": sum(item.loss for item in chosen),
            "agreement": _agreement(found, weights, chosen),
        },
    )
    cascade.write(context.bundle)
    _report_thresholds(config, cascade, len(texts), context)
    return Trained(
        description,
        figures={
            "validation_share_early": float(cascade.calibration["share_early"]),
            "validation_early_loss": float(cascade.calibration["loss"]),
            "max_accuracy_loss": config.max_accuracy_loss,
        },
    )


def run_stages(
    model: CascadeModel, texts: Sequence[str], labels: int, *, advance: Callable[[int], object] | None = None
) -> list[Logits]:
    """Log-probabilities of every stage for every text, one array (n, labels) for each stage.

    `advance` is called with the number of texts of each batch that is done.
    """
    found: list[Logits] = [np.zeros((len(texts), labels), dtype=np.float32) for _ in model.stages]
    encoded = model.encode(texts, all_stages=True)
    for batch in cut_batches([item.cost for item in encoded], DEFAULT_BATCH_TOKENS):
        parts = model.stage_log_probabilities([encoded[index] for index in batch])
        for rows, part in zip(found, parts, strict=True):
            rows[batch] = part
        if advance is not None:
            advance(len(batch))
    return found


def fit_weights(found: Sequence[Logits], truth: NDArray[np.int64]) -> list[tuple[float, ...]]:
    """For each stage, the weights of the log-probabilities of the stages up to it that make the truth most likely.

    Args:
        found: (n, labels) log-probabilities of each stage.
        truth: (n,) positions of the true labels; rows with -1 are left out.

    A prior, normal around equal weights with deviation 1, keeps a few texts that are all right from making every answer
    certain, as in `fit_temperature`.
    """
    known = truth >= 0
    rows, right = [part[known].astype(np.float64) for part in found], truth[known]
    fitted: list[tuple[float, ...]] = []
    for place in range(len(rows)):
        parts = np.stack(rows[: place + 1])
        start = np.full(place + 1, 1 / (place + 1))

        def loss(weights: NDArray[np.float64], parts: NDArray[np.float64] = parts) -> float:
            pooled = np.tensordot(weights, parts, axes=1)
            normaliser = np.logaddexp.reduce(pooled, axis=1)
            prior = float(((weights - 1 / len(weights)) ** 2).sum()) / 2
            return float((normaliser - pooled[np.arange(len(right)), right]).sum() + prior) / len(right)

        best = minimize(loss, start, method="L-BFGS-B", bounds=[(0.0, 5.0)] * len(start)).x
        if best[-1] == 0 or not best.any():  # a stage that says nothing would be computed for nothing
            best = np.maximum(best, 1e-3)
        fitted.append(tuple(round(float(value), 6) for value in best))
    return fitted


def fit_thresholds(
    found: Sequence[Logits],
    weights: Sequence[tuple[float, ...]],
    truth: NDArray[np.int64],
    config: CascadeConfig,
) -> list[StageThresholds]:
    """Thresholds of every stage but the last. Stages share the limit, and the probability of error, evenly."""
    early_stages = len(found) - 1
    full = pooled(found, weights[-1]).argmax(axis=1)
    reached = np.ones(len(truth), dtype=bool)
    chosen = []
    for place in range(early_stages):
        answers = stage_answers(found, weights, place, full=full, truth=truth, reached=reached)
        stage = choose_thresholds(
            answers,
            found[0].shape[1],
            max_loss=config.max_accuracy_loss / early_stages,
            max_class_loss=config.max_class_loss,
            confidence=1 - (1 - config.confidence) / early_stages,
        )
        chosen.append(stage)
        reached = reached & ~answers.answered(stage.thresholds)
    return chosen


def fit_relaxed(
    found: Sequence[Logits],
    weights: Sequence[tuple[float, ...]],
    truth: NDArray[np.int64],
    config: CascadeConfig,
) -> tuple[RelaxedThresholds, ...]:
    """Thresholds of the first stage for each of `RELAXED_LOSSES` above `max_accuracy_loss` that the texts can show.

    The other stages keep theirs, and with them their share of `max_accuracy_loss`.
    """
    early_stages = len(found) - 1
    others = config.max_accuracy_loss * (early_stages - 1) / early_stages
    full = pooled(found, weights[-1]).argmax(axis=1)
    reached = np.ones(len(truth), dtype=bool)
    answers = stage_answers(found, weights, 0, full=full, truth=truth, reached=reached)
    relaxed = []
    for loss in RELAXED_LOSSES:
        if loss <= config.max_accuracy_loss:
            continue
        stage = choose_thresholds(
            answers,
            found[0].shape[1],
            max_loss=loss - others,
            max_class_loss=max(config.max_class_loss, 2 * loss),
            confidence=1 - (1 - config.confidence) / early_stages,
        )
        if stage.share > 0:
            relaxed.append(RelaxedThresholds(max_accuracy_loss=loss, thresholds=stage.thresholds))
    return tuple(relaxed)


def stage_answers(
    found: Sequence[Logits],
    weights: Sequence[tuple[float, ...]],
    place: int,
    *,
    full: NDArray[np.int64],
    truth: NDArray[np.int64],
    reached: NDArray[np.bool_],
) -> StageAnswers:
    """What stage `place` says of each text, beside the whole cascade."""
    probabilities = np.exp(log_softmax(pooled(found, weights[place])))
    early = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(early)), early].astype(np.float64)
    return StageAnswers(early, confidence, full, truth, reached)


def pooled(found: Sequence[Logits], weights: Sequence[float]) -> Logits:
    """Weighted sum of the log-probabilities of the first `len(weights)` stages, (n, labels)."""
    parts = [np.float32(weight) * rows for weight, rows in zip(weights, found, strict=False)]
    total: Logits = np.sum(parts, axis=0)
    return total


def _agreement(
    found: Sequence[Logits], weights: Sequence[tuple[float, ...]], chosen: Sequence[StageThresholds]
) -> float | None:
    """Share of the early answers that are the whole cascade's; None without early answers."""
    full = pooled(found, weights[-1]).argmax(axis=1)
    reached = np.ones(len(full), dtype=bool)
    same: list[NDArray[np.bool_]] = []
    for place, stage in enumerate(chosen):
        answers = stage_answers(found, weights, place, full=full, truth=full, reached=reached)
        answered = answers.answered(stage.thresholds)
        same.append((answers.early == full)[answered])
        reached = reached & ~answered
    together = np.concatenate(same) if same else np.zeros(0, dtype=bool)
    return float(together.mean()) if together.size else None


def _copied(name: str, splits: Splits, context: TrainingContext, *, last: bool) -> Description:
    """Copy a stage's files into the bundle, and return its description.

    Raises:
        StageUnusable: there is none, or it cannot be a stage.
    """
    folder = context.siblings.get(name)
    if folder is None:
        raise StageUnusable(
            f"the candidate {name!r}, a stage of {context.name}, is not in the experiment, comes later or has failed"
        )
    description = Description.read(folder)
    if description.kind == "cascade":
        raise StageUnusable(f"the candidate {name!r} is a cascade, and cannot be a stage of {context.name}")
    if description.labels != splits.labels:
        raise StageUnusable(f"the candidate {name!r} has its labels in another order than the data")
    target = context.bundle if last else context.bundle / STAGES_FOLDER / name
    target.mkdir(parents=True, exist_ok=True)
    for path in _model_files(folder):
        if not (last and path.name == DESCRIPTION_FILE):
            shutil.copy2(path, target / path.name)
    if not last:  # `data.clean` is applied once, by the cascade
        description.model_copy(update={"clean": None}).write(target)
    return description


def _model_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.name not in _NOT_COPIED]


def _report_thresholds(
    config: CascadeConfig, cascade: CascadeDescription, texts: int, context: TrainingContext
) -> None:
    share = cascade.calibration["share_early"]
    early_stages = len(cascade.stages) - 1
    needed = texts_needed(config.max_accuracy_loss / early_stages, 1 - (1 - config.confidence) / early_stages)
    if share > 0:
        said = (
            f"{context.name}: {share:.0%} of {texts} texts are answered before the last stage; with "
            f"{config.confidence:.0%} confidence that costs at most {config.max_accuracy_loss:.1%} accuracy"
        )
    elif texts < needed:
        said = (
            f"{context.name}: every text goes through all stages: to show that an early answer costs at most "
            f"{config.max_accuracy_loss:.1%} accuracy takes {needed} validation or calibration texts; there are {texts}"
        )
    else:
        said = (
            f"{context.name}: every text goes through all stages: no threshold could be shown to cost at most "
            f"{config.max_accuracy_loss:.1%} accuracy on {texts} texts"
        )
    context.progress.console.print(said, highlight=False, markup=False, soft_wrap=True)
