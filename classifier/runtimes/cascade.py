"""Cascades: cheap stages answer the texts that they are sure of, later stages the others.

`cascade.json` holds the names of the stages, the weights of their log-probabilities and the thresholds. Each stage but
the last is a folder `stages/NAME` with `classifier.json` and the model's files; those of the last stage lie in the
bundle itself, where `model_file` of the bundle's `classifier.json` names the file to run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from classifier.description import Description
from classifier.errors import BundleDamaged, BundleIncomplete
from classifier.runtime import (
    EarlyStages,
    Encoded,
    Logits,
    Model,
    RuntimeOptions,
    load_model,
    register_runtime,
    runtime_of,
)
from classifier.runtimes.onnx import NetworkModel
from classifier.runtimes.static_linear import StaticLinearModel

CASCADE_FILE = "cascade.json"
STAGES_FOLDER = "stages"


Thresholds = tuple[Annotated[float, Field(gt=0, le=1)] | None, ...]
"""For each label, the probability from which a stage's answer is the cascade's; None: never."""


class RelaxedThresholds(BaseModel):
    """Lower thresholds of a stage, for a server under overload."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_accuracy_loss: float = Field(gt=0, lt=1)
    """Limit of the accuracy that the cascade loses with them, with the confidence of the others."""
    thresholds: Thresholds


class StageDescription(BaseModel):
    """One stage of a cascade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.-]+$", min_length=1)
    """Name of the stage; of each but the last, also of its folder."""
    kind: str
    """Kind of its runtime."""
    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = Field(min_length=1)
    """Weight of the log-probabilities of each stage up to this one: their sum is this stage's answer."""
    thresholds: Thresholds | None = None
    """The last stage has none: it answers every text that reaches it."""
    relaxed: tuple[RelaxedThresholds, ...] = ()
    """Of the first stage, by rising loss."""


class CascadeDescription(BaseModel):
    """`cascade.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: tuple[StageDescription, ...] = Field(min_length=2)
    """The stages, the cheapest first."""
    calibration: dict[str, Any] = Field(default_factory=dict)
    """How the thresholds were chosen: promised loss, confidence, texts, and what was measured on them."""

    @model_validator(mode="after")
    def _consistent(self) -> CascadeDescription:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("the names of the stages must be distinct")
        for place, stage in enumerate(self.stages):
            if len(stage.weights) != place + 1:
                raise ValueError(f"stage {stage.name} must have {place + 1} weights")
            if any(len(item.thresholds) != len(stage.thresholds or ()) for item in stage.relaxed):
                raise ValueError("relaxed thresholds must be as many as the others")
            if (stage.thresholds is None) != (place == len(self.stages) - 1):
                raise ValueError("every stage but the last must have thresholds")
        return self

    def write(self, folder: Path) -> None:
        """Write `cascade.json` into `folder`."""
        text = json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n"
        (folder / CASCADE_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> CascadeDescription:
        """Read `cascade.json` of a bundle.

        Raises:
            BundleIncomplete: the file is missing.
            BundleDamaged: it is not valid.
        """
        path = folder / CASCADE_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise BundleIncomplete(f"{path} is missing") from None
        except ValidationError as error:
            raise BundleDamaged(f"{path} is not a valid description of a cascade: {error}") from None


@register_runtime("cascade")
class CascadeModel(Model):
    """Stages that answer a text one after the other until one is sure of it.

    A first stage of the kind `static_linear` runs while a text is encoded, so that a server need not queue what it
    answers. Logits are weighted sums of the stages' log-probabilities.
    """

    packages = ("onnxruntime", "tokenizers")
    library = "onnxruntime"

    def __init__(self, cascade: CascadeDescription, models: Sequence[Model], labels: int) -> None:
        """`models` in the order of the stages."""
        self._cascade = cascade
        self._models = tuple(models)
        self._last = len(models) - 1
        self.stages = tuple(stage.name for stage in cascade.stages)
        self.device = models[-1].device
        first, last = models[0], models[-1]
        self._linear = first if isinstance(first, StaticLinearModel) else None
        self._shared_tokens = (
            self._linear is not None
            and self._linear.tokenizer is not None
            and isinstance(last, NetworkModel)
            and self._linear.tokenizer.to_str() == last.tokenizer.to_str()
        )
        # No probability reaches infinity.
        self._thresholds = [
            np.array([np.inf if value is None else value for value in stage.thresholds or [None] * labels])
            for stage in cascade.stages
        ]
        self._relaxed = [
            (
                item.max_accuracy_loss,
                np.array([np.inf if value is None else value for value in item.thresholds]),
            )
            for item in cascade.stages[0].relaxed
        ]
        self._weights = [np.asarray(stage.weights, dtype=np.float32) for stage in cascade.stages]

    @classmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> CascadeModel:
        """See `Model.load`."""
        cascade = CascadeDescription.read(folder)
        path = folder / CASCADE_FILE
        models: list[Model] = []
        for stage in cascade.stages[:-1]:
            if len(stage.thresholds or ()) != len(description.labels):
                raise BundleDamaged(f"{path}: stage {stage.name} must have a threshold for each label")
            own = Description.read(folder / STAGES_FOLDER / stage.name)
            if own.labels != description.labels:
                raise BundleDamaged(f"{path}: stage {stage.name} has other labels than the bundle")
            models.append(load_model(folder / STAGES_FOLDER / stage.name, own, options))
        models.append(load_model(folder, _of_last_stage(cascade, description), options))
        return cls(cascade, models, len(description.labels))

    @classmethod
    def requirements(cls, folder: Path) -> tuple[str, ...]:
        """`packages` of every stage."""
        cascade = CascadeDescription.read(folder)
        found = list(cls.packages)
        for stage in cascade.stages[:-1]:
            own = folder / STAGES_FOLDER / stage.name
            found += runtime_of(own, Description.read(own)).requirements(own)
        description = _of_last_stage(cascade, Description.read(folder))
        found += runtime_of(folder, description).packages
        return tuple(dict.fromkeys(found))

    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:
        """Encode for the last stage, and run a `static_linear` first stage."""
        last = self._models[-1]
        if self._linear is None:
            return [replace(item, all_stages=all_stages) for item in last.encode(texts)]
        if self._shared_tokens and isinstance(last, NetworkModel):
            whole = last.tokenize(texts)
            ids: list[Sequence[int]] = [item.ids for item in whole]
            encoded = [last.encoded(text, item) for text, item in zip(texts, whole, strict=True)]
        else:
            encoded = last.encode(texts)
            ids = [item.ids for item in self._linear.encode(texts)]
        found = self._linear.log_probabilities(texts, ids)
        sure = np.zeros(len(texts), dtype=bool) if all_stages else self._sure(0, found * self._weights[0][0])
        return [
            replace(item, early=EarlyStages(row, bool(answered)), all_stages=all_stages)
            for item, row, answered in zip(encoded, found, sure, strict=True)
        ]

    def relaxed(self, encoded: Sequence[Encoded], max_accuracy_loss: float) -> list[Encoded]:
        """See `Model.relaxed`."""
        fitting = [thresholds for loss, thresholds in self._relaxed if loss <= max_accuracy_loss]
        if not fitting:
            return list(encoded)
        relaxed = []
        for item in encoded:
            if item.early is not None and not item.early.answered and not item.all_stages:
                row = item.early.log_probabilities[None]
                if self._sure(0, row * self._weights[0][0], fitting[-1])[0]:
                    item = replace(item, early=replace(item.early, answered=True))
            relaxed.append(item)
        return relaxed

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> Logits:
        """See `Model.logits`; a text of `all_stages` gets the answer of the last stage."""
        return self.staged_logits(batch, exclusive=exclusive)[0]

    def staged_logits(
        self, batch: Sequence[Encoded], *, exclusive: bool = True
    ) -> tuple[Logits, NDArray[np.int64]]:
        """See `Model.staged_logits`."""
        early = [item.early.log_probabilities for item in batch if item.early is not None and item.answered]
        if len(early) == len(batch):  # nothing is left to run: a server asks for these one by one
            return self._weights[0][0] * np.stack(early), np.zeros(len(batch), dtype=np.int64)
        found = self.stage_log_probabilities(batch, exclusive=exclusive)
        return self.combine(found)

    def stage_log_probabilities(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> list[Logits]:
        """Log-probabilities of each stage, (n, labels) float32; NaN where a stage did not run."""
        labels = self._thresholds[0].size
        found = [np.full((len(batch), labels), np.nan, dtype=np.float32) for _ in self._models]
        rest = np.arange(len(batch))
        for place, model in enumerate(self._models):
            items = [batch[row] for row in rest.tolist()]
            if place == 0 and self._linear is not None:
                found[0][rest] = [item.early.log_probabilities for item in items if item.early is not None]
                sure = np.array([item.answered for item in items], dtype=bool)
            else:
                found[place][rest] = log_softmax(self._run(place, model, items, exclusive))
                pooled = self._pooled(place, [rows[rest] for rows in found[: place + 1]])
                sure = self._sure(place, pooled) & ~np.array([item.all_stages for item in items], dtype=bool)
            rest = rest[~sure]
            if not rest.size:
                break
        return found

    def combine(self, found: Sequence[Logits]) -> tuple[Logits, NDArray[np.int64]]:
        """The answer of the last stage that ran for each text, and its index."""
        ran = np.array([~np.isnan(rows[:, 0]) for rows in found])
        stages = len(found) - 1 - ran[::-1].argmax(axis=0)
        logits = np.empty_like(found[0])
        for place in range(len(found)):
            rows = stages == place
            if rows.any():
                logits[rows] = self._pooled(place, [part[rows] for part in found[: place + 1]])
        return logits, stages

    def answers(
        self, found: Sequence[Logits], threshold: float | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Labels of texts of which every stage has said something, and the stage that answers each; both (n,).

        Args:
            found: (n, labels) log-probabilities of each stage.
            threshold: used for every stage and label in place of the bundle's thresholds; above 1: all texts go through
                all stages.
        """
        labels = np.full(len(found[0]), -1, dtype=np.int64)
        stages = np.full(len(found[0]), self._last, dtype=np.int64)
        for place in range(len(found)):
            pooled = self._pooled(place, found[: place + 1])
            if threshold is None or place == self._last:
                sure = self._sure(place, pooled)
            else:
                sure = np.exp(log_softmax(pooled)).max(axis=1) >= threshold
            new = sure & (labels < 0)
            labels[new], stages[new] = pooled[new].argmax(axis=1), place
        return labels, stages

    def _run(self, place: int, model: Model, items: list[Encoded], exclusive: bool) -> Logits:
        # What the batch holds was encoded for the last stage.
        if place != self._last:
            items = model.encode([item.read for item in items])
        return model.logits(items, exclusive=exclusive)

    def _pooled(self, place: int, found: Sequence[Logits]) -> Logits:
        weights = self._weights[place]
        pooled: Logits = sum(
            (weight * rows for weight, rows in zip(weights, found, strict=True)), start=0 * found[0]
        )
        return pooled

    def _sure(
        self, place: int, pooled: Logits, thresholds: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """Rows whose label has a probability of at least its threshold; by default that of the stage at `place`."""
        if place == self._last:
            return np.ones(len(pooled), dtype=bool)
        thresholds = self._thresholds[place] if thresholds is None else thresholds
        probabilities = np.exp(log_softmax(pooled))
        best = probabilities.argmax(axis=1)
        sure: NDArray[np.bool_] = probabilities[np.arange(len(best)), best] >= thresholds[best]
        return sure


def _of_last_stage(cascade: CascadeDescription, description: Description) -> Description:
    return description.model_copy(update={"kind": cascade.stages[-1].kind, "temperature": 1.0})


def log_softmax(logits: Logits) -> Logits:
    """Log-probabilities of logits, (n, labels)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Logits = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found
