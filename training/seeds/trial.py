"""One trial: one candidate, trained with one seed and scored on the held-out parts, as an MLflow run."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
from rich.progress import Progress

from classifier import Classifier
from stores.models import ModelRegistry
from training.candidates.kinds import Candidate
from training.candidates.trained import Trained, Workplace
from training.candidates.training import train_candidate
from training.cost import cost_of
from training.data import Part, Splits
from training.evaluation import confusion_counts, macro_f1, positions_of
from training.settings import TrainingSettings

KIND = "seed"
"""Tag `kind` of a trial's MLflow run."""


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    candidate: str
    seed: int
    figures: dict[str, float]
    """By the names MLflow keeps them under: `test_macro_f1`, `training_seconds`, `milliseconds_a_text`, …"""
    run_id: str


def trial_key(config: Candidate, splits: Splits, seed: int) -> str:
    """What makes two trials the same: configuration, texts, and seed; 64 hexadecimal digits."""
    settings = config.model_dump(mode="json", exclude={"note", "baseline"})
    said = json.dumps([settings, splits.fingerprint, seed], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


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
    registry: ModelRegistry,
    experiment: str,
    candidate: str,
    config: Candidate,
    splits: Splits,
    seed: int,
    scratch: Path,
    progress: Progress,
) -> Trial:
    """Train, score and time one candidate in a nested run; its files in `scratch` are deleted again.

    Raises:
        Exception: whatever the training raises; the run is marked FAILED and says why.
    """
    name = f"{candidate}, seed {seed}"
    tokens = TrainingSettings().tokens
    workplace = Workplace(name, scratch / "bundle", scratch, seed, progress, registry, tokens=tokens)
    workplace.bundle.mkdir(parents=True)
    try:
        with registry.run(experiment, name, nested=True) as run:
            key = trial_key(config, splits, seed)
            mlflow.set_tags({"kind": KIND, "candidate": candidate, "seed": str(seed), "trial": key})
            mlflow.log_params(config.model_dump(exclude={"note"}))
            try:
                started = time.perf_counter()
                trained = train_candidate(config, splits, workplace)
                whole = time.perf_counter() - started
                figures = {"training_seconds": whole, **_scored(trained, splits, workplace.bundle)}
            except Exception as error:
                mlflow.set_tag("failure", f"{type(error).__name__}: {error}"[:5000])
                raise
            mlflow.log_metrics(figures)
        return Trial(candidate, seed, figures, run.info.run_id)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for task in progress.task_ids:
            progress.remove_task(task)


def _scored(trained: Trained, splits: Splits, bundle: Path) -> dict[str, float]:
    """Quality on the held-out parts and cost, through the files that serving would load."""
    trained.description.write(bundle)
    classifier = Classifier.load(bundle, verify=False)
    cost = cost_of(classifier, splits.validation.texts)
    return {
        **trained.figures,
        **_quality(classifier, splits.validation, "validation"),
        **_quality(classifier, splits.test, "test"),
        "milliseconds_a_text": cost.milliseconds,
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
