"""Which numbers a network computes with, and by which kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from training.candidates.course import CourseConfig


def computes_in_bfloat16(course: CourseConfig) -> bool:
    """Whether matrix products are computed in bfloat16 (Kalamkar et al. 2019, arXiv:1905.12322).

    `python -m training.benchmark` says what it brings, and that the network is as good.
    """
    if course.precision != "auto":
        return course.precision == "bfloat16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@contextmanager
def kernels_for_training(network: PreTrainedModel) -> Iterator[None]:
    """What trains fastest on a CPU, put back as it was behind the block.

    Numbers below 1e-38 are zero: Adam's moments fall there, and a CPU is a hundred times slower on them. Attention is
    computed step by step: torch's fused kernel for CPUs knows no dropout, and what it falls back to is slower.
    """
    before = network.config._attn_implementation
    on_gpu = torch.cuda.is_available()
    torch.set_flush_denormal(True)
    if not on_gpu:
        network.set_attn_implementation("eager")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        if not on_gpu:
            network.set_attn_implementation(before)
