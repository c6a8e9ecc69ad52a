"""Damaged data files, read as training, batch scoring and label files read them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from drills.champion import short_texts
from drills.mutations import damaged
from drills.registry import Bench, Outcome, drill
from stores.tabular import TableError, TableOptions, open_table

_HANG_SECONDS = 20
"""A file of a few KiB that takes longer counts as one that never ends."""


class _Hanging(BaseException):
    """The alarm; no `except Exception` on the way may swallow it."""


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  as signals call it
        raise _Hanging

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _rows() -> list[dict[str, str]]:
    odd = [
        'a "quoted" text',
        "two\nlines",
        "a; semicolon, and a comma",
        "",
        "ünïcödé 😀",
        "tab\there",
        "'",
        "=1+1",
    ]
    texts = short_texts(40) + odd * 3
    return [{"id": str(number), "text": text, "label": f"l{number % 3}"} for number, text in enumerate(texts)]


def _delimited(delimiter: str, encoding: str = "utf-8") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["id", "text", "label"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(_rows())
    return out.getvalue().encode(encoding, "replace")


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_rows()), out, row_group_size=20)
    return out.getvalue()


def _json_lines() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows()).encode()


_FORMATS: dict[str, Callable[[], bytes]] = {
    "comma.csv": lambda: _delimited(","),
    "semicolon.csv": lambda: _delimited(";"),
    "sixteen.csv": lambda: _delimited(",", "utf-16"),
    "tabs.tsv": lambda: _delimited("\t"),
    "lines.jsonl": _json_lines,
    "array.json": lambda: json.dumps(_rows()).encode(),
    "packed.csv.gz": lambda: gzip.compress(_delimited(",")),
    "packed.jsonl.gz": lambda: gzip.compress(_json_lines()),
    "table.parquet": _parquet,
}


def _options(drawn: random.Random) -> TableOptions:
    if drawn.random() < 0.7:
        return TableOptions()
    return TableOptions(
        encoding=drawn.choice(["utf-8", "cp1252", "utf-16-le"]),
        quote=drawn.choice(["auto", "backslash", "none"]),
    )


def _read(path: Path, options: TableOptions) -> tuple[str, str | None]:
    """How reading a file ends, and what is wrong with that."""
    rows = refused = 0
    try:
        with _alarm(_HANG_SECONDS):
            table = open_table(path, options)
            for row in table.rows(needed=[at for at, name in enumerate(table.columns) if name == "text"]):
                if row.problem is None:
                    rows += 1
                else:
                    refused += 1
            counts = table.counts
    except TableError:
        return "refused whole", None
    except _Hanging:
        return "hanging", f"not read within {_HANG_SECONDS} s"
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {str(error)[:200]}"
    total = counts.rows + counts.refused + counts.header + counts.blank + counts.continuation
    if counts.lines != total or (rows, refused) != (counts.rows, counts.refused):
        return "miscounted", f"{rows} rows and {refused} refused were met, counted are {counts}"
    return ("read with rows refused" if refused else "read"), None


@drill(
    "files.mutated",
    promise="A damaged data file is read with every line accounted for, or refused by a TableError; it never hangs.",
    limit=180,
)
def mutated(bench: Bench) -> Outcome:
    """At least 1,000 files of nine formats with one to four changes each."""
    drawn = bench.random()
    originals = {name: make() for name, make in _FORMATS.items()}
    ends: Counter[str] = Counter()
    faults = []
    tried, slowest = bench.count(1100, least=27), 0.0
    for number in range(tried):
        name = list(originals)[number % len(originals)]
        path = bench.folder / f"{number:05d}-{name}"
        path.write_bytes(damaged(originals[name], drawn))
        began = time.monotonic()
        end, fault = _read(path, _options(drawn))
        slowest = max(slowest, time.monotonic() - began)
        ends[end] += 1
        if fault:
            faults.append(f"{path}: {fault}")
        else:
            path.unlink()
    said = ", ".join(f"{count:,} {end}" for end, count in ends.most_common())
    return Outcome(f"{tried:,} files: {said}; the slowest took {slowest:.2f} s", faults)
