"""Which numbers a network computes with."""

from __future__ import annotations

import torch

from training.candidates.course import CourseConfig


def computes_in_bfloat16(course: CourseConfig) -> bool:
    """Whether matrix products are computed in bfloat16 (Kalamkar et al. 2019, arXiv:1905.12322).

    A CPU that can, but has no AMX, gains little, and is given it only when asked.
    """
    if course.precision != "auto":
        return course.precision == "bfloat16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported())
