"""Rows for the prediction store."""

from __future__ import annotations

from typing import Any

from stores.predictions import Prediction


def prediction(text: str = "Shares fell in London.", **changes: Any) -> Prediction:
    """A prediction like any other, but for `changes`."""
    values: dict[str, Any] = {
        "text": text,
        "label": "business",
        "score": 0.9,
        "scores": {"business": 0.9, "tech": 0.1},
        "tokens": 7,
        "truncated": False,
        "model_name": "news",
        "model_version": "1",
        "model_alias": "champion",
    }
    return Prediction(**(values | changes))
