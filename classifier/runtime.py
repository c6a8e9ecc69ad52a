"""What a model must offer to be run: the one interface between the predictor and its backends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]


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

    @property
    def read(self) -> str:
        """The text as the model reads it."""
        return self.text if self.cleaned is None else self.cleaned

    @property
    def cost(self) -> int:
        """Tokens that the model computes for this text; at least 1."""
        return len(self.ids) or max(1, self.tokens)


class Model(Protocol):
    """A backend: turns texts into what it reads, and that into logits."""

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where it computes."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Prepare texts, in order. Thread-safe."""
        ...

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> NDArray[np.float32]:
        """Run one batch; (n, labels) float32 logits (log-probabilities, for a classical model). Thread-safe.

        Not `alone`, it keeps to the calling thread: others call at the same time, and a core that waits for another is
        lost to both.
        """
        ...


def softmax(logits: NDArray[np.float32], temperature: float) -> Probabilities:
    """Rows of `logits / temperature` as probabilities; (n, k) float32, each row sums to 1."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    exponentials = np.exp(scaled)
    probabilities: Probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
