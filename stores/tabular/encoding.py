"""Which encoding a text file has: its byte order mark, UTF-16 without one, and a guess for messages."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_MARKS = (  # UTF-32 first: its mark begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT = 4096
_MOSTLY = 0.4
_ALMOST_ALL = 0.95
_ASCII = '\n\r",;\t|{}[]:a'


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the bytes of a text file become characters."""

    name: str
    """Python's name of it."""
    mark: int = 0
    """Bytes of the byte order mark."""

    @property
    def is_bytewise(self) -> bool:
        """Whether ASCII characters are single bytes, so that lines can be cut before decoding."""
        return is_bytewise(self.name)


def is_bytewise(name: str) -> bool:
    """Whether ASCII characters are themselves in this encoding."""
    return _ASCII.encode(name) == _ASCII.encode("ascii")


def find_encoding(head: bytes, given: str) -> Encoding:
    """The encoding of a file that begins with `head`: its mark decides, else `given`.

    Where `given` is UTF-8, UTF-16 without a mark is recognised by its zero bytes.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Encoding(name, len(mark))
    name = codecs.lookup(given).name
    if name in ("utf-8", "utf-8-sig", "ascii"):
        return Encoding(_utf16_without_mark(head) or "utf-8")
    return Encoding(name)


def likely_encoding(data: bytes) -> str | None:
    """A guess at the encoding of bytes that are not UTF-8, for a message; None where they are UTF-8."""
    try:
        data[: data.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return None
    runs = [match.group() for match in re.finditer(rb"[\x80-\xff]+", data)]
    high = sum(map(len, runs))
    long = sum(len(run) for run in runs if len(run) >= 4)
    if long > 0.5 * high:
        capital = sum(byte >= 0xC0 for run in runs for byte in run)
        if capital > 0.95 * high:
            return "cp1251"
        for name in ("gb18030", "shift_jis", "euc_kr"):
            try:
                data[: data.rfind(b"\n") + 1 or None].decode(name)
            except UnicodeDecodeError:
                continue
            return name
    return "latin-1" if re.search(rb"[\x81\x8d\x8f\x90\x9d]", data) else "cp1252"


def _utf16_without_mark(head: bytes) -> str | None:
    looked_at = head[:_LOOKED_AT]
    if len(looked_at) < 8:
        return None
    for name, characters, zeros in (("utf-16-le", looked_at[0::2], looked_at[1::2]),
                                    ("utf-16-be", looked_at[1::2], looked_at[0::2])):  # fmt: skip
        texts = sum(byte >= 32 or byte in b"\t\r\n" for byte in characters)
        if zeros.count(0) > _MOSTLY * len(zeros) and texts > _ALMOST_ALL * len(characters):
            return name
    return None
