"""Out of memory is distinguished from other failures, on allocations that really fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from training.finetuning.checkpoints import is_out_of_memory, smaller_batch

TOO_MUCH = 2**50


def host() -> object:
    return bytearray(2**62)


def torch_on_cpu() -> object:
    return torch.empty(TOO_MUCH)


def on_gpu() -> object:
    # As CUDA's allocator says it; there is none to ask here.
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def other() -> object:
    return torch.zeros(2, 3) @ torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("allocate", "expected"), [(host, True), (torch_on_cpu, True), (on_gpu, True), (other, False)]
)
def test_out_of_memory_is_recognised(allocate: Callable[[], object], expected: bool) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    assert is_out_of_memory(caught.value) is expected


def test_the_next_batch_divides_the_step() -> None:
    assert smaller_batch(16, 16) == 8
    assert smaller_batch(15, 30) == 6
    assert smaller_batch(7, 7) == 1
    assert smaller_batch(1, 8) is None
