"""The linear student: TF-IDF and logistic regression, fitted on what a teacher says rather than on labels alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from classifier import Description
from classifier.classical import save_skops
from training.candidates.baselines import tfidf_vectorizer
from training.candidates.trained import Trained, Workplace
from training.data import Splits
from training.distillation.config import DistilledLinearConfig
from training.distillation.extra import extra_texts
from training.distillation.teacher import find_teacher
from training.evaluation import positions_of

_NEGLIGIBLE = 1e-3
"""A probability below it is not worth a row."""


def train_linear_student(config: DistilledLinearConfig, splits: Splits, workplace: Workplace) -> Trained:
    """Fit the student on `splits.train` and on the extra texts, as `pipeline.skops`.

    Raises:
        TeacherUnusable: the teacher is not there, cannot be run, or knows other labels.
        DataError: the extra texts cannot be read.
    """
    teacher = find_teacher(config.teacher, splits, workplace)
    task = workplace.progress.add_task(workplace.name, total=2)
    for sentence in teacher.sentences():
        workplace.progress.console.print(f"{workplace.name}: {sentence}", highlight=False)
    extra = extra_texts(config.extra_texts, splits, workplace.seed)
    texts = [*splits.train.texts, *extra]
    targets = teacher.soft_labels(texts, softness=config.softness)
    truth = np.eye(len(splits.labels))[positions_of(splits.train.labels, splits.labels)]
    labelled = slice(0, len(truth))
    targets[labelled] = config.true_labels * truth + (1 - config.true_labels) * targets[labelled]
    workplace.progress.update(task, completed=1)

    vectorizer = tfidf_vectorizer(config)
    features = vectorizer.fit_transform(texts)
    rows, columns, weights = as_weighted_rows(targets)
    regression = LogisticRegression(C=config.strength, max_iter=2000, random_state=workplace.seed)
    regression.fit(features[rows], np.asarray(splits.labels)[columns], sample_weight=weights)
    save_skops(make_pipeline(vectorizer, regression), workplace.bundle / "pipeline.skops")
    workplace.progress.update(task, completed=2)
    description = Description(
        kind="sklearn",
        model_file="pipeline.skops",
        labels=tuple(str(label) for label in regression.classes_),
        candidate=workplace.name,
    )
    return Trained(
        description,
        figures={"features": float(features.shape[1]), "extra_texts": float(len(extra))},
    )


def as_weighted_rows(
    targets: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Soft targets (n, k) for a learner that takes hard ones: (row, label, weight), each text once a likely label.

    The weighted log-loss over these rows is the cross-entropy with the soft targets, but for what is left out as
    negligible.
    """
    rows, columns = np.nonzero(targets > _NEGLIGIBLE)
    return rows, columns, targets[rows, columns]
