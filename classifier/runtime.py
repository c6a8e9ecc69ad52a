"""The interface between the predictor and the runtimes of each kind of model, and the registry of runtimes.

A runtime is a subclass of `Model` with the decorator `register_runtime`, in any module of `classifier.runtimes` or in
a module that is imported before the bundle is loaded. Nothing else names it: `Classifier.load`, serving, batch scoring
and the registry find it by the `kind` in `classifier.json`.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifier.description import DESCRIPTION_FILE, Description
from classifier.device import Device
from classifier.errors import BundleDamaged

Probabilities = NDArray[np.float32]
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text, ready to run."""

    text: str
    """As it was sent."""
    ids: tuple[int, ...]
    """Token ids that the model reads, special tokens included; empty for a classical model."""
    tokens: int
    """Tokens of the whole text, before any cut (words, for a classical model)."""
    truncated: bool
    """Whether the model reads less than the whole text."""
    cleaned: str | None = None
    """What the model reads where the bundle's description cleans texts; None: `text`."""
    early: EarlyStages | None = field(default=None, compare=False)
    """What the first stage of a cascade computed while the text was encoded; None for every other model."""
    all_stages: bool = False
    """Whether a cascade sends the text through all stages."""

    @property
    def read(self) -> str:
        """The text as the model reads it."""
        return self.text if self.cleaned is None else self.cleaned

    @property
    def answered(self) -> bool:
        """Whether an early stage of a cascade has answered it, so that nothing expensive is left to compute."""
        return self.early is not None and self.early.answered

    @property
    def cost(self) -> int:
        """Tokens that the model computes for this text; at least 1."""
        return 1 if self.answered else len(self.ids) or max(1, self.tokens)


@dataclass(frozen=True, slots=True)
class EarlyStages:
    """What the first stage of a cascade computed for one text while it was encoded."""

    log_probabilities: Logits
    """(labels,) float32."""
    answered: bool
    """Whether it is sure enough, so that its answer is the cascade's."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a model is run on this machine."""

    threads: int | None = None
    """Threads of one inference; None: every core."""
    device: Device = "cpu"
    """Where a network computes; `auto`: on a GPU where ONNX Runtime can."""


class Model(ABC):
    """A loaded model: encodes texts, and computes logits of a batch of encoded texts."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that it needs; they become requirements of the registered model."""
    library: ClassVar[str] = "champion"
    """`library_name` of the model card."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it computes."""
    stages: tuple[str, ...] = ()
    """Names of the stages of a cascade, in order; empty for every other model."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> Model:
        """Load the model files of a bundle.

        Args:
            folder: the bundle.
            description: its `model_file` is what is run.
            options: threads and device.

        Raises:
            BundleError: a file is missing, damaged, or holds types that could run code.
            DeviceMissing: the requested device is not available.
        """

    @classmethod
    def requirements(cls, folder: Path) -> tuple[str, ...]:  # noqa: ARG003
        """`packages`, and those of the models that the bundle in `folder` holds beside."""
        return cls.packages

    @abstractmethod
    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:
        """Prepare texts, in order. Thread-safe.

        Args:
            texts: the texts, cleaned.
            all_stages: a cascade leaves every text to its last stage.
        """

    def relaxed(self, encoded: Sequence[Encoded], max_accuracy_loss: float) -> list[Encoded]:  # noqa: ARG002
        """`encoded`, of which the first stage of a cascade answers more texts, at a loss of accuracy within a limit."""
        return list(encoded)

    @abstractmethod
    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> Logits:
        """Run one batch; (n, labels) float32 logits (log-probabilities, for a classical model). Thread-safe.

        Args:
            batch: what `encode` returned.
            exclusive: whether it may use every core; otherwise it keeps to the calling thread, because others compute
                at the same time.
        """

    def staged_logits(
        self, batch: Sequence[Encoded], *, exclusive: bool = True
    ) -> tuple[Logits, NDArray[np.int64]]:
        """`logits`, and the index in `stages` of the stage that answered each text, (n,); 0 without stages."""
        return self.logits(batch, exclusive=exclusive), np.zeros(len(batch), dtype=np.int64)


RuntimeClass = TypeVar("RuntimeClass", bound=type[Model])
_RUNTIMES: dict[str, type[Model]] = {}


def register_runtime(kind: str) -> Callable[[RuntimeClass], RuntimeClass]:
    """Class decorator: the runtime of bundles whose `classifier.json` has this `kind`.

    Raises:
        ValueError: the kind is registered for another class.
    """

    def register(runtime: RuntimeClass) -> RuntimeClass:
        known = _RUNTIMES.setdefault(kind, runtime)
        if known is not runtime:
            raise ValueError(f"the kind {kind!r} is registered for {known.__qualname__}")
        return runtime

    return register


def runtimes() -> dict[str, type[Model]]:
    """All runtimes by kind, with those of every module of `classifier.runtimes`."""
    _import_runtimes()
    return dict(_RUNTIMES)


def runtime_of(folder: Path, description: Description) -> type[Model]:
    """The runtime of a bundle.

    Raises:
        BundleDamaged: its kind is unknown.
    """
    known = runtimes()
    try:
        return known[description.kind]
    except KeyError:
        raise BundleDamaged(
            f"{folder / DESCRIPTION_FILE} has the kind {description.kind!r}, which is not known here; known are "
            + ", ".join(sorted(known))
        ) from None


def load_model(folder: Path, description: Description, options: RuntimeOptions) -> Model:
    """Load the model files of a bundle with the runtime of its kind; errors as `Model.load` and `runtime_of`."""
    return runtime_of(folder, description).load(folder, description, options)


@cache
def _import_runtimes() -> None:
    package = import_module("classifier.runtimes")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def softmax(logits: Logits, temperature: float) -> Probabilities:
    """Rows of `logits / temperature` as probabilities; (n, k) float32, each row sums to 1."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    exponentials = np.exp(scaled)
    probabilities: Probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
