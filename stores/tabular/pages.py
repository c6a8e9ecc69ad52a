"""Sizes of the column chunks and pages of a Parquet file, read from its footer and page headers without decoding them.

pyarrow gives sizes of whole column chunks only, and its accessor of a column chunk ends the process (a C++ exception
that nothing catches) where the footer is damaged. What is decoded at a time is a page, whose header has its size.
Format: https://github.com/apache/parquet-format (parquet.thrift, FileMetaData and PageHeader), in Thrift's compact
protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

from stores.tabular.limits import PARQUET_MAX_RATIO

_HEADER_BYTES = 4096
_LARGEST_HEADER = 2**20
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DICTIONARY_PAGE = 2


_TAIL_BYTES = 8
"""The footer's length and the magic bytes `PAR1` at the end of a file."""


class FooterUnreadable(Exception):
    """The bytes are no footer: the file is damaged or encrypted."""


class PageHeaderUnreadable(Exception):
    """The bytes are no page header: the file is damaged or encrypted."""


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """What the footer says of one column in one row group."""

    name: str
    """The column's path in the schema, joined by dots."""
    values: int
    packed: int
    """Bytes in the file."""
    unpacked: int
    """Bytes uncompressed."""
    start: int
    """Offset of its first page, a dictionary page included."""


@dataclass(frozen=True, slots=True)
class ColumnPages:
    """Sizes of the pages of one column chunk, uncompressed."""

    largest: int
    """Bytes of the largest page."""
    swollen: int
    """Bytes of the largest page that is compressed to less than one of PARQUET_MAX_RATIO; 0: there is none."""
    dictionary: int
    """Bytes of the dictionary page; 0: there is none. No value can be longer than it."""
    dictionary_values: int
    pages: tuple[tuple[int, int], ...]
    """Bytes and values of each distinct kind of data page."""

    def bytes_of(self, rows: int) -> int:
        """An upper bound of the bytes that this number of consecutive values can become."""
        plain = max((size * (rows // max(1, values) + 2) for size, values in self.pages), default=0)
        return max(plain, rows * self.dictionary)


def column_chunks(file: IO[bytes]) -> list[list[ColumnChunk]]:
    """The column chunks of each row group, in the order of the footer.

    Raises:
        FooterUnreadable: the footer cannot be read, or lacks a figure.
    """
    length = file.seek(0, 2)
    file.seek(max(0, length - _TAIL_BYTES))
    size = int.from_bytes(file.read(4), "little")
    if size > length - _TAIL_BYTES:
        raise FooterUnreadable("no footer")
    file.seek(length - _TAIL_BYTES - size)
    try:
        groups = _Compact(file.read(size)).struct()[4]
        return [[_column_chunk(column[3]) for column in group[1]] for group in groups]
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        raise FooterUnreadable("no footer") from None


def _column_chunk(fields: dict[int, Any]) -> ColumnChunk:
    values, unpacked, packed, start = (fields[number] for number in (5, 6, 7, 9))
    dictionary = fields.get(11) or start
    numbers = (values, unpacked, packed, start, dictionary)
    if not all(isinstance(number, int) for number in numbers) or min(numbers) < 0:
        raise ValueError("no column chunk")
    name = b".".join(fields[3]).decode("utf-8", "replace")
    return ColumnChunk(name, values, packed, unpacked, min(start, dictionary))


def column_pages(file: IO[bytes], start: int, size: int) -> ColumnPages:
    """The pages of the column chunk of `size` bytes at `start`.

    Raises:
        PageHeaderUnreadable: its headers cannot be read.
    """
    if start < 0:
        raise PageHeaderUnreadable(f"no page at byte {start}")
    at, end = start, start + size
    dictionary = dictionary_values = 0
    largest = swollen = 0
    pages: set[tuple[int, int]] = set()
    while at < end:
        header, length = _header(file, at)
        try:
            kind, unpacked, packed = header[1], header[2], header[3]
        except KeyError:
            raise PageHeaderUnreadable(f"no page at byte {at}") from None
        if not all(isinstance(value, int) and value >= 0 for value in (kind, unpacked, packed)):
            raise PageHeaderUnreadable(f"no page at byte {at}")
        largest = max(largest, unpacked)
        if unpacked > PARQUET_MAX_RATIO * packed:
            swollen = max(swollen, unpacked)
        values = next((header[key].get(1, 0) for key in (5, 7, 8) if isinstance(header.get(key), dict)), 0)
        if not isinstance(values, int):
            raise PageHeaderUnreadable(f"no page at byte {at}")
        if kind == _DICTIONARY_PAGE:
            dictionary, dictionary_values = unpacked, values
        else:
            pages.add((unpacked, values))
        at += length + packed
    return ColumnPages(largest, swollen, dictionary, dictionary_values, tuple(sorted(pages)))


def _header(file: IO[bytes], at: int) -> tuple[dict[int, Any], int]:
    size = _HEADER_BYTES
    while True:
        file.seek(at)
        data = file.read(size)
        try:
            reader = _Compact(data)
            return reader.struct(), reader.at
        except IndexError:
            if len(data) < size or size >= _LARGEST_HEADER:
                raise PageHeaderUnreadable(f"no page at byte {at}") from None
            size *= 16
        except (ValueError, RecursionError):
            raise PageHeaderUnreadable(f"no page at byte {at}") from None


class _Compact:
    """Reads values of Thrift's compact protocol; IndexError where the data end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def struct(self) -> dict[int, Any]:
        """The fields of a structure by their ids."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._zigzag()
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._zigzag()
        if kind == _DOUBLE:
            return self._skip(8)
        if kind == _BINARY:
            size = self._varint()
            self._skip(size)
            return self.data[self.at - size : self.at]
        if kind == _STRUCT:
            return self.struct()
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(count)]
        raise ValueError(f"type {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("integer too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
