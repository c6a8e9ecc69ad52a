"""Labels that are probably wrong: where a classifier that did not learn a text is sure of another label.

Confident learning: Northcutt, Jiang and Chuang 2021, *Confident Learning: Estimating Uncertainty in Dataset Labels*,
JAIR 70, arXiv:1911.00068, as the library cleanlab has it. What is found is a list for a person to read, not a verdict:
hard texts are among it.
"""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from classifier.runtime import Probabilities
from training.data import Part, Splits
from training.error_analysis.config import AnalysisConfig
from training.evaluation import positions_of

_FOLDS = 5
_FEATURES = 20_000


@dataclass(frozen=True)
class LabelError:
    """One label to check."""

    part: str
    row: int
    """Position in its part, from 0: line of the file that `python -m training data` writes, less one."""
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float
    text: str


def probable_label_errors(
    splits: Splits, validation: Probabilities, test: Probabilities, config: AnalysisConfig, *, seed: int
) -> list[LabelError]:
    """Labels to check, part by part, the most doubtful of each first.

    Args:
        splits: the data.
        validation: (n, labels), the winner's probabilities of the validation part, labels in the order of `splits`.
        test: those of the test part.
        config: whether and how much is searched.
        seed: draws the training texts, where not all are searched, and deals them out.
    """
    if not config.label_errors:
        return []
    labels = splits.labels
    chosen = np.arange(len(splits.train))
    if len(chosen) > config.label_error_texts:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, config.label_error_texts, replace=False))
    train = Part([splits.train.texts[row] for row in chosen], [splits.train.labels[row] for row in chosen])
    found = []
    if (crossed := out_of_sample(train, labels, seed=seed)) is not None:
        found += _errors("train", train, crossed, labels, chosen.tolist())
    for name, part, probabilities in (
        ("validation", splits.validation, validation),
        ("test", splits.test, test),
    ):
        found += _errors(name, part, probabilities, labels, list(range(len(part))))
    return found


def out_of_sample(part: Part, labels: Sequence[str], *, seed: int) -> Probabilities | None:
    """Probabilities (n, labels) of each text by a small model that learned the others: TF-IDF, logistic regression.

    None where a class has fewer than two texts, so that they cannot be dealt out.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    counts = Counter(part.labels)
    folds = min(_FOLDS, *(counts[label] for label in labels))
    if folds < 2:
        return None
    features = TfidfVectorizer(max_features=_FEATURES, sublinear_tf=True).fit_transform(part.texts)
    # The solver's arrays are small: its threads would wait for one another longer than they work.
    with threadpool_limits(limits=1):
        crossed: Probabilities = cross_val_predict(
            LogisticRegression(C=10.0, max_iter=500, tol=1e-3),
            features,
            positions_of(part.labels, labels),
            cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
            method="predict_proba",
        ).astype(np.float32)
    return crossed


def write_label_errors(path: Path, errors: Sequence[LabelError]) -> Path:
    """Write them as CSV, a column a field; returns `path`."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(LabelError)])
        for error in errors:
            writer.writerow(
                [
                    error.part, error.row, error.label, error.suggested, f"{error.label_probability:.4f}",
                    f"{error.suggested_probability:.4f}", error.text,
                ]
            )  # fmt: skip
    return path


def _errors(
    name: str, part: Part, probabilities: Probabilities, labels: Sequence[str], rows: Sequence[int]
) -> list[LabelError]:
    from cleanlab.filter import find_label_issues

    truth = positions_of(part.labels, labels)
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
        LabelError(
            name,
            rows[index],
            labels[truth[index]],
            labels[suggested[index]],
            float(probabilities[index, truth[index]]),
            float(probabilities[index, suggested[index]]),
            part.texts[index],
        )
        for index in ranked
        if suggested[index] != truth[index]
    ]
