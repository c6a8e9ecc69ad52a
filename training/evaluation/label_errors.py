"""Probable label errors: an out-of-sample classifier is confident of another label (confident learning)."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.runtime import Probabilities
from stores.tabular.spreadsheets import spreadsheet_safe as safe
from training.config.evaluation import AnalysisConfig
from training.data import Part, Splits
from training.data.labels import positions_of

_FOLDS = 5
_FEATURES = 20_000
_TOKEN = r"\w+|[^\w\s]"
"""Every text has a token, also one of single letters or signs."""
_MOST_CELLS = 20_000_000
"""Texts times labels of the table of probabilities: 160 MB in the precision that cleanlab computes in."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class LabelError:
    """One label to check."""

    part: str
    row: int | None
    """Row of the source, from 1, the header not counted; None where it is not known, as of a live text."""
    id: str
    """What the source calls that row; empty where it has no column for it."""
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float
    text: str
    """As in the source."""
    position: int
    """In its part, from 0: line of the file that `python -m training data` writes, less one."""


def probable_label_errors(splits: Splits, config: AnalysisConfig, *, seed: int) -> list[LabelError]:
    """Labels to check, part by part, the most doubtful of each first.

    All parts are measured alike: their texts are put together, and each gets its probabilities from a small model that
    learned others of them. So as many labels look wrong in one part as in another, but for chance; with the winner's
    own probabilities of the held-out parts that was not so.

    Args:
        splits: the data.
        config: whether and how much is searched.
        seed: deals the texts out, and draws those that are learned from, where not all are.
    """
    if not config.label_errors:
        return []
    parts = {name: part for name, part in splits.parts().items() if name in PARTS and len(part)}
    places = [(name, position) for name, part in parts.items() for position in range(len(part))]
    pool = sum(parts.values(), start=Part([], []))
    chosen = _searched(pool.labels, seed)
    pool, places = pool.rows(chosen), [places[index] for index in chosen]
    labels = sorted(set(pool.labels))
    if len(labels) < 2:
        return []
    crossed = out_of_sample(pool, labels, seed=seed, learned=config.label_error_texts)
    found = [
        LabelError(
            part=places[index][0],
            row=pool.source_rows[index].number or None,
            id=pool.source_rows[index].id,
            label=pool.labels[index],
            suggested=labels[suggested],
            label_probability=float(crossed[index, given]),
            suggested_probability=float(crossed[index, suggested]),
            text=pool.original(index),
            position=places[index][1],
        )
        for index, given, suggested in _doubtful(positions_of(pool.labels, labels), crossed)
    ]
    return sorted(found, key=lambda error: PARTS.index(error.part))  # stable: the most doubtful stay first


def out_of_sample(
    part: Part, labels: Sequence[str], *, seed: int, learned: int | None = None
) -> Probabilities:
    """Probabilities (n, labels) of each text by a small model that learned others: TF-IDF, logistic regression.

    Five folds, each class in proportion. Near copies may lie in different folds: a wrong label that a text shares with
    its copy is then not found.

    Args:
        part: the texts.
        labels: of the columns; a class with no text outside a fold gets 0 there.
        seed: deals the texts out.
        learned: texts that one model learns from at most, drawn by the seed; None: all outside its fold.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    truth = positions_of(part.labels, labels)
    fold = _dealt(truth, rng)
    vectorizer = TfidfVectorizer(max_features=_FEATURES, sublinear_tf=True, token_pattern=_TOKEN)
    features = vectorizer.fit_transform(part.texts)
    crossed: Probabilities = np.zeros((len(part), len(labels)), dtype=np.float32)
    # The solver's arrays are small: its threads would wait for one another longer than they work.
    with threadpool_limits(limits=1):
        for number in range(_FOLDS):
            inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            if learned is not None and len(outside) > learned:
                outside = np.sort(rng.choice(outside, learned, replace=False))
            known = np.unique(truth[outside])
            if not len(inside):
                continue
            if len(known) < 2:
                crossed[np.ix_(inside, known)] = 1.0
                continue
            model = LogisticRegression(C=10.0, max_iter=500, tol=1e-3).fit(features[outside], truth[outside])
            crossed[np.ix_(inside, model.classes_)] = model.predict_proba(features[inside])
    return crossed


def label_error_counts(errors: Sequence[LabelError]) -> dict[str, int]:
    """Part → how many of `errors` are in it."""
    return {part: sum(error.part == part for error in errors) for part in PARTS}


def label_error_sentence(errors: Sequence[LabelError], splits: Splits, config: AnalysisConfig) -> str:
    """How many labels look wrong, part by part; empty where none were looked for."""
    if not errors:
        return "No label looks wrong." if config.label_errors else ""
    sizes = {name: len(part) for name, part in splits.parts().items()}
    said = ", ".join(
        f"{count} in {part}, {count / sizes[part]:.1%}"
        for part, count in label_error_counts(errors).items()
        if sizes[part]
    )
    return f"{len(errors)} labels look wrong ({said}): label_errors.csv in the report lists them for a person to check."


def write_label_errors(path: Path, errors: Sequence[LabelError]) -> Path:
    """Write them as CSV, a column a field; returns `path`."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(LabelError)])
        for error in errors:
            writer.writerow(
                [
                    error.part, error.row, error.id, safe(error.label), safe(error.suggested),
                    f"{error.label_probability:.4f}", f"{error.suggested_probability:.4f}", safe(error.text),
                    error.position,
                ]
            )  # fmt: skip
    return path


def _searched(labels: Sequence[str], seed: int) -> list[int]:
    """The texts that are looked at: those of classes that every fold can learn, and no more than memory allows."""
    counts = Counter(labels)
    usual = [index for index, label in enumerate(labels) if counts[label] >= _FOLDS]
    most = max(_FOLDS, _MOST_CELLS // max(1, len(counts)))
    if len(usual) <= most:
        return usual
    drawn = np.random.default_rng(seed).choice(usual, most, replace=False)
    return sorted(map(int, drawn))


def _dealt(truth: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each text, 0 to 4; of each class as many in every fold, give or take one."""
    fold = np.zeros(len(truth), dtype=np.int64)
    start = 0
    for position in np.unique(truth):
        rows = rng.permutation(np.flatnonzero(truth == position))
        fold[rows] = (start + np.arange(len(rows))) % _FOLDS
        start += len(rows)
    return fold


def _doubtful(truth: NDArray[np.int64], probabilities: Probabilities) -> list[tuple[int, int, int]]:
    """(text, given label, suggested label) of labels that are probably wrong, the most doubtful first."""
    from cleanlab.filter import find_label_issues

    wide = probabilities.astype(np.float64)
    with warnings.catch_warnings():
        # Of a class with a handful of texts it says that it may miss some; it is a list to read either way.
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        ranked = find_label_issues(
            truth,
            wide / wide.sum(axis=1, keepdims=True),
            return_indices_ranked_by="self_confidence",
            n_jobs=1,  # processes cost more than they gain here
        )
    suggested = probabilities.argmax(axis=1)
    return [
        (int(index), int(truth[index]), int(suggested[index]))
        for index in ranked
        if suggested[index] != truth[index]
    ]
