"""BentoML's own adaptive batching over a pipeline."""

from __future__ import annotations

from typing import Any

import bentoml

from benchmarks.serving.servers.pipeline import make_pipeline


@bentoml.service(name="batchable", workers=1, traffic={"timeout": 120})
class Batchable:
    """A pipeline behind an API that is batched."""

    def __init__(self) -> None:
        self._classify = make_pipeline()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=10_000)  # type: ignore[untyped-decorator]
    def classify(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """Labels with scores, for each text."""
        scores: list[list[dict[str, Any]]] = self._classify(texts)
        return scores
