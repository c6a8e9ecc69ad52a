"""Files of labels: a prediction's id and its true label in each row; taken whole, or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from monitoring.errors import BadLabels
from stores.predictions import PredictionStore
from stores.sources import FILE
from stores.tabular import Table, TableError, TableOptions, open_table
from stores.tabular.delimited import DelimitedTable
from stores.tabular.options import QUOTES

ID, LABEL = "prediction_id", "label"
_SHOWN = 20
_LARGEST = 200 * 1024 * 1024
_MOST_ROWS = 2_000_000
_ID = re.compile(r"[0-9a-fA-F]{32}")

_Command = TypeVar("_Command", bound=Callable[..., Any])


def table_options(command: _Command) -> _Command:
    """Add the options of a command by which its file is read; it gets them as `encoding`, `delimiter` and `quote`."""
    for option in (
        click.option(
            "--quote",
            type=click.Choice(QUOTES),
            default="auto",
            show_default=True,
            help="What a double quote means in CSV. double: it encloses a cell, and is doubled inside; none: it is a "
            "character.",
        ),
        click.option(
            "--delimiter", help="Of CSV: one character, or `tab`. Default: found from the first lines."
        ),
        click.option(
            "--encoding", default="utf-8", show_default=True, help="Of a text file without a byte order mark."
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class LabelFile:
    """What a file says, before the store was asked."""

    labels: dict[str, str]
    """Prediction id → label."""
    rows: dict[str, int]
    """Prediction id → its row; where the file has a header, this is row 1. Blank lines are not counted."""
    empty: list[int]
    """Rows with an id and no label."""


def read_labels(
    path: Path, *, id_column: str = ID, label_column: str = LABEL, options: TableOptions | None = None
) -> LabelFile:
    """Read a file of labels, in any format that `stores.tabular` reads.

    Columns are found whatever the case of their names. Ids may be written in capitals, as spreadsheets do.

    Raises:
        BadLabels: the file cannot be read, a column is missing or there twice, a row cannot be read, an id is missing
            or there twice; every such row is named.
        OSError: the file cannot be read.
    """
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise BadLabels(f"{path} has more than {_LARGEST // 1024**2} MiB: give it in parts")
    try:
        table = open_table(path, options)
        columns = [
            _find(table, path, name, option) for name, option in ((id_column, "id"), (label_column, "label"))
        ]
        return _read(table, path, columns)
    except TableError as error:
        raise BadLabels(f"{error}. Nothing of {path} was written") from None


def _find(table: Table, path: Path, wanted: str, option: str) -> int:
    """Position of a column, by its name or else by its name whatever the case."""
    columns = table.columns
    lower = [name.lower() for name in columns]
    same = [index for index, name in enumerate(columns) if name == wanted]
    same = same or [index for index, name in enumerate(lower) if name == wanted.lower()]
    if len(same) == 1:
        return same[0]
    if same:
        raise BadLabels(
            f"{path} has {len(same)} columns called {wanted!r}: which one is meant? Rename the others"
        )
    raise BadLabels(
        f"{path} has no column {wanted!r}; it has {', '.join(map(repr, columns)) or 'none'}. Name it with "
        f"--{option}-column"
    )


def _read(table: Table, path: Path, columns: list[int]) -> LabelFile:
    header = 1 if isinstance(table, DelimitedTable) else 0
    labels: dict[str, str] = {}
    where: dict[str, int] = {}
    empty: list[int] = []
    problems: list[str] = []
    for row in table.rows(columns):
        number = row.number + header
        place = f"row {number}" + (f" (line {row.line})" if row.line != number else "")
        if row.number > _MOST_ROWS:
            raise BadLabels(f"{path} has more than {_MOST_ROWS:,} rows: give it in parts")
        if row.problem is not None:
            problems.append(f"{place}: {row.problem}")
            continue
        id_, label = (_text(value) for value in row.values.values())
        if id_ is None or label is None:
            problems.append(
                f"{place}: a list or an object is given as the {'id' if id_ is None else 'label'}"
            )
            continue
        id_ = id_.lower() if _ID.fullmatch(id_) else id_
        if not id_ and not label:
            continue  # a row that is left empty
        if not id_:
            problems.append(f"{place}: no id")
        elif id_ in where:
            other = labels.get(id_, "")
            differs = f", with the label {other[:64]!r}" if other != label else ""
            problems.append(f"{place}: {id_} is in row {where[id_]} already{differs}")
        else:
            where[id_] = number
            if label:
                labels[id_] = label
            else:
                empty.append(number)
    _refuse(path, problems)
    return LabelFile(labels, where, empty)


def _text(value: Any) -> str | None:
    """A cell as text without blanks around it; None for a list or an object."""
    if value is None or value != value:
        return ""
    return None if isinstance(value, list | dict) else str(value).strip()


def give_labels(
    store: PredictionStore, path: Path, found: LabelFile, *, new_labels: bool = False, source: str = FILE
) -> int:
    """Write the labels of a file in one transaction; how many predictions have them.

    Args:
        store: where the predictions are.
        path: the file, for messages.
        found: what it says.
        new_labels: whether labels that the model of a prediction does not know are meant.
        source: noted with each label.

    Raises:
        BadLabels: an id is of no prediction, or a label unknown; every such row is named, and nothing was written.
        PredictionStoreError: the store failed; nothing was written.
    """
    if not found.labels:
        raise BadLabels(f"{path} holds no label")
    with store.labelling(found.labels) as predictions:
        _refuse(path, _problems(found, predictions.known, new_labels=new_labels))
        predictions.give(found.labels, source=source)
    return len(found.labels)


def _problems(found: LabelFile, known: Mapping[str, frozenset[str]], *, new_labels: bool) -> list[str]:
    problems = []
    for id_, label in found.labels.items():
        row = f"row {found.rows[id_]}"
        if id_ not in known:
            problems.append(f"{row}: no prediction has the id {id_[:64]!r}")
        elif not new_labels and label not in known[id_]:
            near = get_close_matches(label, known[id_], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(sorted(known[id_])[:12])}"
            problems.append(f"{row}: the model does not know the label {label[:64]!r}; {hint}")
    if any("does not know" in problem for problem in problems):
        problems.append("if the labels are meant, say --new-labels: they count as wrong answers")
    return problems


def _refuse(path: Path, problems: list[str]) -> None:
    if not problems:
        return
    shown = (
        problems
        if len(problems) <= _SHOWN + 1
        else [*problems[:_SHOWN], f"and {len(problems) - _SHOWN} more"]
    )
    raise BadLabels(f"nothing of {path} was written:\n  " + "\n  ".join(shown))
