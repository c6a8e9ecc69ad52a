"""What both clients share: how they connect, and how a call reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

OnTooLong = Literal["truncate", "error"]

MAX_TEXTS = 256
"""Texts of one request. Fewer than the service takes, so that one slow request does not outlast its time."""
MAX_BYTES = 4 * 1024 * 1024
"""Bytes of one request, half of what the service takes by default."""


def headers(key: str | None) -> dict[str, str]:
    """Headers of every request."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def deadline(seconds: float | None) -> dict[str, str]:
    """Headers of a request whose answer is of no use after `seconds`."""
    return {} if seconds is None else {"X-Deadline-Ms": f"{seconds * 1000:g}"}


def options(top_k: int | None, on_too_long: OnTooLong) -> dict[str, Any]:
    """A call's options as the body has them."""
    return {"on_too_long": on_too_long} | ({} if top_k is None else {"top_k": top_k})


def items(labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Prediction id → label, as the body has it."""
    return [{"id": prediction, "label": label} for prediction, label in labels.items()]
