"""Evidently reseeds numpy's global generator, which belongs to whoever called us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def numpy_state_kept() -> Iterator[None]:
    """Give numpy's global generator back as it was."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)
