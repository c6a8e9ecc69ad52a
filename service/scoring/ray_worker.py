"""What a worker on Ray does: load the model once, then answer chunk after chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifier import Classifier
from service.scoring.answers import answer
from service.scoring.bundle_copy import BundleCopy
from service.scoring.tables import Columns


class RayWorker:
    """One process with one copy of the model.

    Each call brings a reference to the BundleCopy, so that a worker that Ray had to start again loads it again.
    """

    def __init__(self) -> None:
        self._loaded: Classifier | None = None

    def load(self, bundle: Sequence[Any]) -> None:
        """Load the model before the first chunk comes.

        Args:
            bundle: a list of one reference to a BundleCopy; being in a list, it is fetched only when it is needed.

        Raises:
            BundleError: it is damaged, is not the one that was meant, or computes something else here.
        """
        self._classifier(bundle)

    def answer(
        self,
        bundle: Sequence[Any],
        texts: Sequence[str | None],
        problems: Sequence[str | None],
        columns: Mapping[str, type],
    ) -> tuple[Columns, dict[str, int]]:
        """A chunk's new columns, and how many rows have which problem."""
        return answer(self._classifier(bundle), texts, problems, columns)

    def _classifier(self, bundle: Sequence[Any]) -> Classifier:
        if self._loaded is None:
            import ray

            copy: BundleCopy = ray.get(bundle[0])
            self._loaded = copy.load(threads=1)
        return self._loaded
