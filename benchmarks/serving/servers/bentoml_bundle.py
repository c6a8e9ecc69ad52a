"""BentoML's own adaptive batching over our bundle, as MLflow loads it: the same runtime behind another batcher."""

from __future__ import annotations

import os
from typing import Any

import bentoml

from benchmarks.serving.servers.room import ROOM


@bentoml.service(name="batchable_bundle", workers=1, traffic={"timeout": 120, "max_concurrency": ROOM})
class BatchableBundle:
    """The bundle behind an API that is batched."""

    def __init__(self) -> None:
        import mlflow

        self._model = mlflow.pyfunc.load_model(os.environ["LOGGED"])

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=10_000)  # type: ignore[untyped-decorator]
    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        """Label and score of each text."""
        import pandas as pd

        found = self._model.predict(pd.DataFrame({"text": texts}))
        answers: list[dict[str, Any]] = found[["label", "score"]].to_dict("records")
        return answers
