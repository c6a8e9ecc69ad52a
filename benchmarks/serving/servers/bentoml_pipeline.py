"""BentoML and a pipeline, one text a call."""

from __future__ import annotations

from typing import Any

import bentoml

from benchmarks.serving.servers.pipeline import make_pipeline


@bentoml.service(name="plain", workers=1, traffic={"timeout": 120})
class Plain:
    """A pipeline behind an API."""

    def __init__(self) -> None:
        self._classify = make_pipeline()

    @bentoml.api  # type: ignore[untyped-decorator]
    def classify(self, text: str) -> list[dict[str, Any]]:
        """Labels with scores."""
        scores: list[dict[str, Any]] = self._classify([text])[0]
        return scores
