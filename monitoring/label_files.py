"""Files of labels: CSV with a prediction's id and its true label in each row; taken whole, or not at all."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from monitoring.errors import BadLabels
from stores.predictions import PredictionStore

ID, LABEL = "prediction_id", "label"
_SHOWN = 20
_LARGEST = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LabelFile:
    """What a file says, before the store was asked."""

    labels: dict[str, str]
    """Prediction id → label."""
    rows: dict[str, int]
    """Prediction id → its row, as a spreadsheet counts: the header is row 1."""
    empty: list[int]
    """Rows with an id and no label."""


def read_labels(path: Path, *, id_column: str = ID, label_column: str = LABEL) -> LabelFile:
    """Read a UTF-8 CSV file with a header; the delimiter may be a comma, a semicolon or a tab.

    Raises:
        BadLabels: a column is missing, an id is missing or stands there twice; every such row is named.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > _LARGEST:
        raise BadLabels(f"{path} has more than {_LARGEST // 1024**2} MiB: give it in parts")
    csv.field_size_limit(_LARGEST)  # the texts of an exported queue may be long
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            header, *rows = list(csv.reader(file, delimiter=delimiter, strict=True)) or [[]]
    except UnicodeDecodeError as error:
        raise BadLabels(f"{path} is not UTF-8: {error}. Save it as UTF-8") from None
    except csv.Error as error:
        raise BadLabels(f"{path} is not CSV: {error}") from None
    names = [name.strip() for name in header]
    if missing := [name for name in (id_column, label_column) if name not in names]:
        raise BadLabels(
            f"{path} has no column {' and no column '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, names)) or 'no header'}. Name them with --id-column and --label-column"
        )
    labels: dict[str, str] = {}
    where: dict[str, int] = {}
    empty: list[int] = []
    problems: list[str] = []
    for number, cells in enumerate(rows, start=2):
        row = dict(zip(names, cells, strict=False))
        id_, label = (row.get(name, "").strip() for name in (id_column, label_column))
        if not id_ and not label:
            continue  # a blank line, as spreadsheets leave at the end
        if not id_:
            problems.append(f"row {number}: no id")
        elif id_ in where:
            problems.append(f"row {number}: {id_} stands in row {where[id_]} already")
        else:
            where[id_] = number
            if label:
                labels[id_] = label
            else:
                empty.append(number)
    _refuse(path, problems)
    return LabelFile(labels, where, empty)


def give_labels(
    store: PredictionStore, path: Path, found: LabelFile, *, new_labels: bool = False, source: str = "csv"
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
