"""JSONL: one object a line; objects need not have the same keys."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.scoring.errors import InputRefused
from service.scoring.lines import Lines, check_encoding, concatenate, write_text_part
from service.scoring.tables import Chunk, Columns, ReadOptions, check_text_column, usable_text

UNREAD_KEY = "unread"
"""Where a line that is no JSON object is kept, so that no row is lost."""
_ROWS_LOOKED_AT = 100


class JsonLinesTable:
    """One JSONL file."""

    def __init__(self, source: Path, options: ReadOptions) -> None:
        self._source = source
        self._options = options
        self.total = source.stat().st_size
        check_encoding(source, options.encoding)
        with Lines(source, 0, options.encoding) as lines:
            rows = [_parsed(line)[0] for line in itertools.islice(lines, _ROWS_LOOKED_AT)]
        self.columns: Sequence[str] = list(dict.fromkeys(key for row in rows for key in row))
        check_text_column(self.columns, options.text_column, source)

    def chunks(self, start: int) -> Iterator[Chunk]:
        """Rows as dictionaries; `start` counts bytes."""
        rows: list[dict[str, Any]] = []
        texts: list[str | None] = []
        problems: list[str | None] = []
        characters = 0
        with Lines(self._source, start, self._options.encoding) as lines:
            for line in lines:
                if not line.strip():
                    continue
                row, problem = _parsed(line)
                text = None
                if problem is None:
                    text, problem = usable_text(row.get(self._options.text_column))
                rows.append(row)
                texts.append(text)
                problems.append(problem)
                characters += len(text or "")
                if len(rows) >= self._options.chunk_rows or characters >= self._options.chunk_characters:
                    yield Chunk(rows, texts, problems, lines.offset, lines.position)
                    rows, texts, problems, characters = [], [], [], 0
            if rows:
                yield Chunk(rows, texts, problems, lines.offset, lines.position)

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """One object a line: the row's own keys, then the added ones."""
        lines = []
        for row, *cells in zip(chunk.rows, *(column.values for column in added.values()), strict=True):
            new = dict(zip(added, cells, strict=True))
            if taken := row.keys() & new.keys():
                raise InputRefused(
                    f"{self._source} has a row with a key {min(taken)!r} of its own: "
                    "give the new columns a --prefix"
                )
            lines.append(_line(row | new))
        write_text_part(path, lines)

    def assemble(self, parts: Sequence[Path], path: Path, added: Mapping[str, type]) -> None:  # noqa: ARG002
        """Every part, one after another."""
        concatenate(parts, path)


def _parsed(line: str) -> tuple[dict[str, Any], str | None]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {UNREAD_KEY: line.rstrip("\r\n")}, "line is not JSON"
    if not isinstance(row, dict):
        return {UNREAD_KEY: line.rstrip("\r\n")}, "line is not a JSON object"
    return row, None


def _line(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair can only be written as \udXXX
        text = json.dumps(row)
    return text + "\n"
