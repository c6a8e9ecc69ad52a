"""Out of memory: how it is told from other failures, and what batch to try next."""

from __future__ import annotations

import gc

import torch
from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]
from transformers import PreTrainedModel


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the GPU or the host has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, Exception) and bool(
        should_reduce_batch_size(error)
        # A failed allocation inside of a GPU library says so in its own words.
        or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)
    )


def smaller_batch(batch: int, effective: int) -> int | None:
    """The largest batch of at most half of `batch` that divides `effective`; None below one text.

    So a step still takes `effective` texts, in more parts.
    """
    return next((size for size in range(batch // 2, 0, -1) if effective % size == 0), None)


def release(network: PreTrainedModel) -> None:
    """Give back what a failed attempt has left."""
    network.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
