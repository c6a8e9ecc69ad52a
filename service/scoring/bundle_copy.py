"""The model on its way to another machine: the bundle's files, and the hash that says they are the ones meant."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from classifier import BundleDamaged, Classifier
from classifier.manifest import MANIFEST_FILE, sha256_of
from service.scoring.champion import ScoringModel


@dataclass(frozen=True, slots=True)
class BundleCopy:
    """A bundle that was verified here, to be loaded elsewhere."""

    folder: Path
    """Where it lies on the machine that it comes from."""
    manifest_sha256: str
    """Of its manifest, which has the hash of every other file. So a worker needs no signing key."""
    files: dict[str, bytes] | None
    """Contents by relative path; None: it is loaded from `folder`."""

    @classmethod
    def of(cls, model: ScoringModel, *, packed: bool) -> BundleCopy:
        """The bundle of `model`; with its files if it is `packed`, else to be loaded on this machine."""
        folder = model.classifier.folder.absolute()
        names = [path for path in folder.rglob("*") if path.is_file()] if packed else []
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}
        return cls(folder, sha256_of(folder / MANIFEST_FILE), files if packed else None)

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
        return Classifier.load(folder, threads=threads)
