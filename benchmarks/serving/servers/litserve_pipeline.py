"""LitServe with batches of up to 32 texts, gathered for at most 10 ms."""

from __future__ import annotations

import os
from typing import Any

import litserve

from benchmarks.serving.servers.pipeline import make_pipeline


class Api(litserve.LitAPI):  # type: ignore[misc]
    """A pipeline in LitServe's four hooks."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model, in the worker."""
        self.classify = make_pipeline()

    def decode_request(self, request: dict[str, str]) -> str:
        """The text of one request."""
        return request["text"]

    def predict(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """Labels with scores, for each text."""
        scores: list[list[dict[str, Any]]] = self.classify(list(texts))
        return scores

    def encode_response(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One text's labels."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=32, batch_timeout=0.01)
    litserve.LitServer(api, accelerator="cpu", timeout=120).run(
        host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False
    )
