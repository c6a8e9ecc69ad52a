"""Teachers: the champion, another version, a bundle folder, or an earlier candidate, ready for inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from classifier import BundleError, Classifier
from classifier.precision import FLOAT32_FILE
from classifier.runtime import softmax
from stores.bundles import find_bundle, find_version, registry_of
from stores.errors import BadModelReference, ModelNotRegistered, NotABundle
from stores.model_ref import ModelRef
from stores.registry import ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from training.config.candidate import CandidateConfig
from training.data import Splits
from training.errors import NetworkUnreadable, TeacherUnusable
from training.models.result import TrainingContext

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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

    def soft_labels(self, texts: Sequence[str], *, temperature: float = 1.0) -> NDArray[np.float64]:
        """Its probabilities of `texts` at the temperature `temperature`, calibration aside; (n, labels)."""
        found = self.classifier.predict(texts)[:, list(self.order)].astype(np.float64)
        # p^T, normalised, undoes the calibration; p^(1/temperature) softens.
        powers = np.clip(found, 1e-12, 1.0) ** (self.classifier.description.temperature / temperature)
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
        from training.export.read_back import read_network

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
        from training.export.onnx import torch_probabilities
        from training.export.read_back import read_tokenizer

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


def find_teacher(wanted: str, splits: Splits, context: TrainingContext) -> Teacher:
    """The teacher called `wanted`, for the labels of `splits`.

    Raises:
        TeacherUnusable: there is none, it cannot be run, or it knows other labels.
        RegistryUnavailable: MLflow does not answer.
    """
    name, classifier, own = _find(wanted, context)
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


def pinned_teachers(
    candidates: Mapping[str, CandidateConfig], registry: ModelRegistry
) -> dict[str, CandidateConfig]:
    """Those of `candidates` whose teacher is named by an alias, with the number of its version instead.

    Else what a student learned before the champion changed would pass for what it would learn now. A candidate whose
    teacher is not there is left out.
    """
    pinned = {}
    for name, config in candidates.items():
        teacher = getattr(config, "teacher", None)
        if teacher is None or teacher in candidates:
            continue
        try:
            reference = ModelRef.parse(teacher)
            if reference.alias is None and not reference.latest:
                continue
            found = find_version(reference, registry_of(reference, registry.settings))
        except (BadModelReference, ModelNotRegistered):  # said when the student is trained
            continue
        version = f"models:/{found.name}/{found.version}" if reference.name else found.version
        pinned[name] = config.model_copy(update={"teacher": version})
    return pinned


def _find(wanted: str, context: TrainingContext) -> tuple[str, Classifier, bool]:
    """Name, classifier, and whether it is a candidate of this very run."""
    if wanted != context.name and wanted in context.siblings:
        sibling = context.siblings[wanted]
        if sibling is None:  # not looked for elsewhere: a folder or a version of this name is another model
            raise TeacherUnusable(f"the candidate {wanted!r}, which is to teach, comes later or has failed")
        return f"candidate {wanted}", Classifier.load(sibling, verify=False), True
    try:
        reference = ModelRef.parse(wanted)
    except BadModelReference as error:
        raise TeacherUnusable(
            f"there is no teacher {wanted!r}: no candidate of that name comes before the student, and {error}"
        ) from None
    try:
        tracking = context.registry.settings if context.registry else TrackingSettings()
        found = find_bundle(reference, tracking, SigningSettings().keys, registry=context.registry)
        classifier = Classifier.load(found.folder, signing_key=found.manifest_keys)
    except (BundleError, ModelNotRegistered, NotABundle) as error:
        raise TeacherUnusable(f"the teacher {wanted!r} cannot be had: {error}") from None
    if reference.folder is not None:
        return found.title, classifier, False
    prefix = f"{reference.alias}, " if reference.alias else ""
    return f"{prefix}version {found.model.version}", classifier, False
