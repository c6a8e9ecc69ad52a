"""Damaging bytes and JSON at random, by a seeded generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b",",
    b"\xc3",
    b" " * 50,
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    10**40,
    "",
    " ",
    "\x00",
    "\ud800",
    "a" * 5000,
    [],
    {},
    [[]],
    [None],
    {"text": 1},
    "‮",
    "😀" * 100,
)


def damaged(data: bytes, drawn: random.Random) -> bytes:
    """`data` with one to four changes: bytes flipped, removed, doubled, moved, put in, or the end cut off."""
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randint(0, max(0, len(data) - 1))
        end = min(len(data), at + drawn.choice((1, 1, 2, 8, 64, 1024)))
        match drawn.randrange(6):
            case 0 if data:
                data = data[:at] + bytes([data[at] ^ (1 << drawn.randrange(8))]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:end] + data[at:]
            case 3:
                data = data[:at] + drawn.choice(ODD_BYTES) + data[at:]
            case 4:
                data = data[:at]
            case _:
                data = data[:at] + drawn.randbytes(drawn.randint(1, 8)) + data[end:]
    return data


def changed(content: Any, drawn: random.Random) -> Any:
    """A copy of JSON content in which one value or key is another, missing, or wrapped."""
    content = json.loads(json.dumps(content))
    places = list(_places(content))
    if not places:
        return drawn.choice(ODD_VALUES)
    holder, key = drawn.choice(places)
    match drawn.randrange(5):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]] * drawn.choice((1, 2, 50))
        case 2 if isinstance(holder, dict):
            holder[drawn.choice(("x", "", "text ", "__proto__", "é"))] = holder.pop(key)
        case _:
            holder[key] = drawn.choice(ODD_VALUES)
    return content


def _places(content: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = list(enumerate(content))
    for key, value in items:
        found.append((content, key))
        found += _places(value)
    return found


def as_json(content: Any) -> bytes:
    """JSON in UTF-8, with lone surrogates as the three bytes that some encoders write."""
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def one_of(makers: Sequence[Callable[[random.Random], bytes]], drawn: random.Random) -> bytes:
    """What one of the makers makes."""
    return drawn.choice(makers)(drawn)
