"""The model that scores (the champion, a pinned version, or a bundle's folder), and its copy for remote workers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from classifier import BundleDamaged, Classifier, ClassifierError
from classifier.manifest import MANIFEST_FILE, sha256_of
from classifier.precision import FLOAT32_FILE, INT8_FILE, Precision, load_fastest
from service.batch_scoring.errors import ModelMissing
from stores.errors import StoreError
from stores.model_ref import ModelRef
from stores.settings import SigningSettings, TrackingSettings

_PRECISIONS: dict[str, Literal["float32", "int8"]] = {FLOAT32_FILE: "float32", INT8_FILE: "int8"}


@dataclass(frozen=True, slots=True)
class ScoringModel:
    """A loaded model and what it is called."""

    classifier: Classifier
    name: str
    version: str
    warning: str | None = None
    """What a person should know about how it was found."""
    precision: Literal["float32", "int8"] | None = None
    """Which of the bundle's files was requested; None: the one that its description names."""

    @property
    def identity(self) -> dict[str, Any]:
        """Identity of the model: its name, version, the hash of its manifest, and which of its files runs."""
        return {
            "name": self.name,
            "version": self.version,
            "manifest_sha256": sha256_of(self.classifier.folder / MANIFEST_FILE),
            "model_file": self.classifier.description.model_file,
        }

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


def load_model(
    tracking: TrackingSettings, signing: SigningSettings, precision: Precision | None = None
) -> ScoringModel:
    """Load what MODEL_URI names, or else the version that MODEL_ALIAS points to.

    When MLflow does not answer, the last known champion is taken from the local cache, with a warning.

    Args:
        tracking: which model.
        signing: keys of its manifest.
        precision: which of the bundle's files runs, as `load_fastest` takes it; None: the one that it names.

    Raises:
        ModelMissing: nothing is registered, nothing answers, or the bundle is refused.
    """
    try:
        from stores.bundles import find_bundle  # with MLflow

        reference = ModelRef.configured(tracking)
        found = find_bundle(reference, tracking, signing.keys, offline=True)
        classifier = _load(found.folder, precision, signing_key=found.manifest_keys)
    except (StoreError, ClassifierError) as error:
        raise ModelMissing(str(error)) from error
    found.note_loaded()
    chosen = None if precision is None else _PRECISIONS.get(classifier.description.model_file)
    return ScoringModel(classifier, found.model.name, found.model.version, found.note, chosen)


def _load(folder: Path, precision: Precision | None, **options: Any) -> Classifier:
    if precision is None:
        return Classifier.load(folder, **options)
    return load_fastest(folder, precision=precision, **options).classifier


@dataclass(frozen=True, slots=True)
class BundleCopy:
    """A bundle that was verified here, to be loaded elsewhere."""

    folder: Path
    """Where it lies on the machine that it comes from."""
    manifest_sha256: str
    """Of its manifest, which has the hash of every other file. So a worker needs no signing key."""
    files: dict[str, bytes] | None
    """Contents by relative path; None: it is loaded from `folder`."""
    precision: Literal["float32", "int8"] | None = None
    """As of the model."""

    @classmethod
    def of(cls, model: ScoringModel, *, packed: bool) -> BundleCopy:
        """The bundle of `model`; with its files if it is `packed`, else to be loaded on this machine."""
        folder = model.classifier.folder.absolute()
        names = [path for path in folder.rglob("*") if path.is_file()] if packed else []
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}
        return cls(folder, sha256_of(folder / MANIFEST_FILE), files if packed else None, model.precision)

    def load(self, *, threads: int) -> Classifier:
        """The classifier, every file verified and its golden texts checked on this machine.

        Raises:
            BundleError: it is not the bundle that was meant, or computes something else here.
        """
        if self.files is None:
            return self._loaded(self.folder, threads)
        with tempfile.TemporaryDirectory(prefix="bundle-") as copy:  # in memory once loaded
            for name, content in self.files.items():
                path = Path(copy, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return self._loaded(Path(copy), threads)

    def _loaded(self, folder: Path, threads: int) -> Classifier:
        found = sha256_of(folder / MANIFEST_FILE)
        if found != self.manifest_sha256:
            raise BundleDamaged(
                f"{folder / MANIFEST_FILE} has the SHA-256 {found}, and {self.manifest_sha256} is meant: "
                "the bundle was replaced meanwhile"
            )
        return _load(folder, self.precision, threads=threads)
