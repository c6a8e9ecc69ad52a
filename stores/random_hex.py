"""Random hexadecimal digits from the operating system, read in advance.

A read of `os.urandom` gives up the interpreter lock. While a model computes in Python in another thread, getting the
lock back takes up to the switch interval (5 ms by default), for every id.
"""

from __future__ import annotations

import os

_BYTES = 8
_AHEAD = 256

_ready: list[str] = []


def random_hex() -> str:
    """16 random hexadecimal digits, for an id. Thread-safe."""
    try:
        return _ready.pop()
    except IndexError:
        digits = os.urandom(_BYTES * _AHEAD).hex()
        width = 2 * _BYTES
        own, *others = (digits[at : at + width] for at in range(0, len(digits), width))
        _ready.extend(others)
        return own


os.register_at_fork(after_in_child=_ready.clear)  # a child must not give the ids of its parent
