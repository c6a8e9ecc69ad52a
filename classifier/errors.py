"""Everything this room can raise.

ClassifierError
 ├── BundleError                 the folder is not a usable bundle
 │    ├── BundleIncomplete       a file is missing, or one is there that is not listed
 │    ├── BundleDamaged          a file's hash or content is not what the manifest says
 │    ├── BundleVersionUnknown   the format is newer or older than this code reads
 │    ├── BundleUntrusted        not signed, or signed with another key
 │    └── GoldenMismatch         the model does not give the probabilities it was shipped with
 ├── SigningKeyInvalid           a setting holds no key that can sign or verify
 ├── DeviceMissing               the requested device is not available
 └── PredictionFailed            the model could not run on these texts
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ClassifierError(Exception):
    """Base of every error of this package."""


class BundleError(ClassifierError):
    """The folder is not a usable bundle; the message names the file."""


class BundleIncomplete(BundleError):
    """A file that the manifest lists is missing, or an unlisted one is present."""


class BundleDamaged(BundleError):
    """A file's SHA-256 or its content is not what the manifest says."""


class BundleVersionUnknown(BundleError):
    """The bundle's format version is not one that this code reads."""


class BundleUntrusted(BundleError):
    """A signing key is set, and the bundle is unsigned or signed with another key."""


class GoldenMismatch(BundleError):
    """The loaded model does not give the golden probabilities."""


class SigningKeyInvalid(ClassifierError):
    """A setting holds no key that can sign or verify; the message names the setting."""


class DeviceMissing(ClassifierError):
    """The requested device is not available, or ONNX Runtime cannot use it."""


class PredictionFailed(ClassifierError):
    """The runtime could not compute probabilities for a batch."""


@contextmanager
def bundle_faults(folder: Path) -> Iterator[None]:
    """Raise BundleDamaged for what a library raises on content of a bundle that it was not made for."""
    try:
        yield
    except (ClassifierError, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:500]
        raise BundleDamaged(f"{folder} cannot be loaded: {reason}") from error
