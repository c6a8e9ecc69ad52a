"""The teacher: the champion, another version, a bundle's folder, or an earlier candidate, ready to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from classifier import BundleError, Classifier
from classifier.description import DESCRIPTION_FILE
from classifier.precision import FLOAT32_FILE
from classifier.runtime import softmax
from stores.errors import ModelNotRegistered
from stores.models import ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from training.candidates.trained import Workplace
from training.data import Splits
from training.distillation.config import CHAMPION
from training.errors import NetworkUnreadable, TeacherUnusable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from training.experiment import Experiment

_PROBES, _TOLERANCE = 16, 1e-3


@dataclass(frozen=True)
class Teacher:
    """Who teaches."""

    name: str
    """In words: `champion, version 7`."""
    classifier: Classifier
    """It, as it is served."""
    order: tuple[int, ...]
    """For each label of the data, in their order, the column of the teacher's probabilities."""
    probes: tuple[str, ...]
    """A few texts, to show that its torch network says what it says."""
    knows_the_data: bool
    """Whether it learned from the same training part, so that it has seen none of the texts held out here."""

    def soft_labels(self, texts: Sequence[str], *, softness: float = 1.0) -> NDArray[np.float64]:
        """Its probabilities of `texts` at the temperature `softness`, calibration aside; (n, labels)."""
        found = self.classifier.predict(texts)[:, list(self.order)].astype(np.float64)
        # p^T, normalised, undoes the calibration; p^(1/softness) softens.
        powers = np.clip(found, 1e-12, 1.0) ** (self.classifier.description.temperature / softness)
        soft: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return soft

    @cached_property
    def network(self) -> PreTrainedModel | None:
        """Its torch network with the data's labels in their order; None where it is classical.

        It is read back from the bundle's own `model.onnx`, and shown to say the same.

        Raises:
            TeacherUnusable: it cannot be read, or computes something else.
        """
        if self.classifier.description.kind != "onnx":
            return None
        from training.architecture import read_network

        path = self.classifier.folder / FLOAT32_FILE
        try:
            network = read_network(path)
        except NetworkUnreadable as error:
            raise TeacherUnusable(f"the teacher ({self.name}) {error}; train it again") from None
        self._check_same(network)
        position = {label: index for index, label in enumerate(self.classifier.labels)}
        if self.order != tuple(range(len(position))):
            raise TeacherUnusable(
                f"the teacher ({self.name}) has its labels in the order {', '.join(position)}, which its layers were "
                "trained for; the data has another"
            )
        return network

    def _check_same(self, network: PreTrainedModel) -> None:
        """Raise TeacherUnusable unless `network` answers as the bundle's float32 file does."""
        from training.architecture import read_tokenizer
        from training.export import torch_probabilities

        folder, description = self.classifier.folder, self.classifier.description
        served = Classifier.load(folder, verify=False, model_file=FLOAT32_FILE).predict(self.probes)
        raw = torch_probabilities(
            network, read_tokenizer(folder), self.probes, max_length=description.max_length
        )
        found = softmax(np.log(np.clip(raw, 1e-30, 1.0)), description.temperature)
        difference = float(np.abs(found - served).max())
        if not difference <= _TOLERANCE:  # written so that NaN fails
            raise TeacherUnusable(
                f"the teacher ({self.name}), read back from {folder / FLOAT32_FILE}, differs from it by "
                f"{difference:.2g} in a probability: this is a bug"
            )

    def sentences(self) -> list[str]:
        """What a person should know of it."""
        said = []
        if self.classifier.description.kind != "onnx":
            said.append(
                f"The teacher ({self.name}) is no network: it gives soft labels, and has no hidden states or layers."
            )
        if not self.knows_the_data:
            said.append(
                f"The teacher ({self.name}) learned from another training part: it may have seen some of the texts "
                "held out here, and could pass on what it knows of them."
            )
        return said


def find_teacher(wanted: str, splits: Splits, workplace: Workplace) -> Teacher:
    """The teacher called `wanted`, for the labels of `splits`.

    Raises:
        TeacherUnusable: there is none, it cannot be run, or it knows other labels.
        RegistryUnavailable: MLflow does not answer.
    """
    name, classifier, own = _find(wanted, workplace)
    if sorted(classifier.labels) != sorted(splits.labels):
        raise TeacherUnusable(
            f"the teacher ({name}) knows the labels {', '.join(classifier.labels)}; the data has "
            f"{', '.join(splits.labels)}"
        )
    order = tuple(classifier.labels.index(label) for label in splits.labels)
    learned_from = classifier.manifest.get("data", {}).get("train_fingerprint")
    return Teacher(
        name,
        classifier,
        order,
        probes=tuple(splits.train.texts[:_PROBES]),
        knows_the_data=own or learned_from == splits.train.fingerprint,
    )


def pinned_teachers(experiment: Experiment, registry: ModelRegistry) -> Experiment:
    """`experiment` with the champion's version number wherever a teacher is `champion`.

    Else what a student learned before the champion changed would pass for what it would learn now. Where there is no
    champion, it stays as it is.
    """
    students = {
        name: config
        for name, config in experiment.candidates.items()
        if getattr(config, "teacher", None) == CHAMPION and CHAMPION not in experiment.candidates
    }
    if not students:
        return experiment
    try:
        version = registry.by_alias(CHAMPION).version
    except ModelNotRegistered:
        return experiment
    pinned = {name: config.model_copy(update={"teacher": str(version)}) for name, config in students.items()}
    return experiment.model_copy(update={"candidates": {**experiment.candidates, **pinned}})


def _find(wanted: str, workplace: Workplace) -> tuple[str, Classifier, bool]:
    """Name, classifier, and whether it is a candidate of this very run."""
    sibling = workplace.siblings.get(wanted, workplace.scratch.parent / wanted / "bundle")
    if wanted != workplace.name and (sibling / DESCRIPTION_FILE).is_file():
        return f"candidate {wanted}", Classifier.load(sibling, verify=False), True
    key = SigningSettings().key
    try:
        if Path(wanted).is_dir():
            return f"bundle {Path(wanted).name}", Classifier.load(wanted, signing_key=key), False
        registry = workplace.registry or ModelRegistry(TrackingSettings())
        if wanted == CHAMPION:
            registered = registry.by_alias(CHAMPION)
            name = f"champion, version {registered.version}"
        elif wanted.isdigit():
            registered = registry.by_version(wanted)
            name = f"version {wanted}"
        else:
            raise TeacherUnusable(
                f"there is no teacher {wanted!r}: it is `champion`, a version's number, a bundle's folder, or a "
                "candidate that stands before the student in the experiment and has not failed"
            )
        return name, Classifier.load(registry.fetch(registered), signing_key=key), False
    except (BundleError, ModelNotRegistered) as error:
        raise TeacherUnusable(f"the teacher {wanted!r} cannot be had: {error}") from None
