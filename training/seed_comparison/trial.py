"""One trial: train one candidate with one seed and evaluate it, as an MLflow run."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np

from classifier import Classifier
from stores.registry import ModelRegistry
from training.data import Part, Splits
from training.errors import ExperimentInvalid
from training.evaluation.cost import cost_of
from training.evaluation.metrics import confusion_counts, macro_f1, positions_of
from training.experiment.schema import Experiment
from training.models.config import Candidate
from training.models.result import Trained, TrainingContext
from training.pipeline.candidate_run import candidate_run, train_or_resume
from training.pipeline.observers import RunObserver


@dataclass(frozen=True)
class Plan:
    """What is compared, and how."""

    experiment: Experiment
    seeds: int
    """How many, from the experiment's own seed upwards."""
    against: str | None = None
    """The candidate that all others are compared with; None: the first."""
    resplit: bool = False
    """Whether each seed also draws its own split, so that the intervals speak of other texts, too."""
    confidence: float = 0.95

    @property
    def reference(self) -> str:
        """The candidate to compare with.

        Raises:
            ExperimentInvalid: there is no such candidate.
        """
        names = list(self.experiment.candidates)
        if self.against is None:
            return names[0]
        if self.against not in names:
            near = difflib.get_close_matches(self.against, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
            raise ExperimentInvalid(f"no candidate {self.against!r} in {self.experiment.name}: {hint}")
        return self.against

    def trials(self) -> Iterator[tuple[int, str]]:
        """(seed, candidate) in the order of training: every candidate once a seed, a different one first each time.

        Taking turns spreads what else the machine does over all of them, so that times can be compared.
        """
        names = list(self.experiment.candidates)
        for place in range(self.seeds):
            first = place % len(names)
            for name in names[first:] + names[:first]:
                yield self.experiment.seed + place, name


KIND = "seed"
"""Tag `kind` of a trial's MLflow run."""


@dataclass(frozen=True)
class Trial:
    """Result of a comparison or trial."""

    candidate: str
    seed: int
    figures: dict[str, float]
    """By the names MLflow keeps them under: `test_macro_f1`, `training_seconds`, `latency_ms_p50`, …"""
    run_id: str


def find_trial(registry: ModelRegistry, experiment: str, candidate: str, key: str, seed: int) -> Trial | None:
    """The trial as an earlier comparison finished it, or None."""
    runs = registry.client.search_runs(
        [registry.experiment_id(experiment)],
        f"tags.kind = '{KIND}' and tags.trial = '{key}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return Trial(candidate, seed, dict(runs[0].data.metrics), runs[0].info.run_id) if runs else None


def run_trial(
    experiment: str,
    candidate: str,
    config: Candidate,
    splits: Splits,
    context: TrainingContext,
    observers: RunObserver,
) -> Trial:
    """Train, score and time one candidate in a nested run; its files are deleted once it is in MLflow.

    Where a step after training fails they stay, and the next comparison scores them without training again.

    Raises:
        Exception: whatever fails; the run is marked FAILED and says why.
    """
    tags = {"kind": KIND, "candidate": candidate, "seed": str(context.seed), "trial": context.identity}
    try:
        with candidate_run(context, experiment, config, tags) as run:
            trained = train_or_resume(config, splits, context, observers)
            figures = _scored(trained, splits, context.bundle)
            mlflow.log_metrics(figures)
    finally:
        for task in context.progress.task_ids:
            context.progress.remove_task(task)
    shutil.rmtree(context.scratch, ignore_errors=True)
    return Trial(candidate, context.seed, figures, run.info.run_id)


def _scored(trained: Trained, splits: Splits, bundle: Path) -> dict[str, float]:
    """Quality on the held-out parts and cost, through the files that serving would load."""
    trained.description.write(bundle)
    classifier = Classifier.load(bundle, verify=False)
    cost = cost_of(classifier, splits.validation.texts)
    return {
        **trained.figures,
        **_quality(classifier, splits.validation, "validation"),
        **_quality(classifier, splits.test, "test"),
        "latency_ms_p50": cost.milliseconds,
        "megabytes": cost.megabytes,
    }


def _quality(classifier: Classifier, part: Part, name: str) -> dict[str, float]:
    truth = positions_of(part.labels, classifier.labels)
    given = classifier.predict(part.texts).argmax(axis=1)
    counts = confusion_counts(truth, given, len(classifier.labels))
    return {
        f"{name}_macro_f1": float(macro_f1(counts)),
        f"{name}_accuracy": float(np.mean(truth == given)),
    }
