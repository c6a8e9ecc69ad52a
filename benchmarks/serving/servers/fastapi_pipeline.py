"""FastAPI and a pipeline: what most teams write first."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving.servers.pipeline import make_pipeline

app = FastAPI()
classify = make_pipeline()


class Request(BaseModel):
    """One text."""

    text: str


@app.post("/classify")
def answer(request: Request) -> list[dict[str, Any]]:
    """Labels with scores. Not `async`: FastAPI runs it in a thread, so that the server stays responsive."""
    scores: list[dict[str, Any]] = classify([request.text])[0]
    return scores
