"""Train every candidate with every seed, in turns, as MLflow runs; reuse trials of earlier comparisons."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import mlflow
import numpy as np
from rich.console import Console
from rich.markup import escape

from classifier import Classifier
from stores.names import file_name
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from training.data import Part, Splits, load_data, split_data
from training.data.labels import positions_of
from training.distillation.teacher import pinned_teachers
from training.errors import NoCandidateLeft
from training.evaluation.cost import cost_of
from training.evaluation.metrics import confusion_counts, macro_f1
from training.experiment.schema import Experiment
from training.kinds.candidate import Candidate
from training.logs import training_progress
from training.models.result import Trained, TrainingContext
from training.pipeline.observers import ConsoleObserver, LogObserver
from training.runs.candidate_run import candidate_run, format_failure, train_or_resume
from training.runs.mlflow_logging import MlflowObserver
from training.runs.resume import training_context, working_folder
from training.runs.run_events import Observers, RunObserver
from training.seed_comparison.report import ranking_table, write_report
from training.seed_comparison.statistics import Plan, Ranking, Trial, rankings
from training.settings import TrainingSettings

KIND = "seed"
"""Tag `kind` of a trial's MLflow run."""


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
    """Train, score and time one candidate in a nested run.

    Where a step after training fails, the next comparison scores its files without training again.

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
        **cost.metrics(),
    }


def _quality(classifier: Classifier, part: Part, name: str) -> dict[str, float]:
    truth = positions_of(part.labels, classifier.labels)
    given = classifier.predict(part.texts).argmax(axis=1)
    counts = confusion_counts(truth, given, len(classifier.labels))
    return {
        f"{name}_macro_f1": float(macro_f1(counts)),
        f"{name}_accuracy": float(np.mean(truth == given)),
    }


def _parts(names: Sequence[str], earlier: Mapping[str, Trial | None], experiment: Experiment) -> set[str]:
    """Candidates on which those of `names` are built that no earlier comparison has finished, directly or not.

    Their files are gone once a comparison has finished them, so they are trained again.
    """
    parts: set[str] = set()
    for name in reversed(names):  # each stands after its own parts
        if earlier[name] is None or name in parts:
            parts |= set(experiment.candidates[name].built_on) - {name}
    return parts


@dataclass
class Comparison:
    """Result of a comparison or trial."""

    rankings: list[Ranking]
    report: Path
    """Folder of `seeds.md`, `seeds.json` and `seeds.png`."""
    trained: int = 0
    """Trials that were trained now."""
    found: int = 0
    """Trials that an earlier comparison had finished."""
    failed: dict[str, str] = field(default_factory=dict)
    """Trial → why it failed."""


def compare_seeds(plan: Plan, *, console: Console | None = None) -> Comparison:
    """Train what is not yet trained, compare, and write the report; nothing is registered.

    Raises:
        ExperimentInvalid: the reference is no candidate.
        DataError: the data cannot be used.
        NoCandidateLeft: no trial has finished.
        StoreError: MLflow does not answer.
    """
    console = console or Console()
    observers = Observers(LogObserver(), MlflowObserver(), ConsoleObserver(console))
    registry = ModelRegistry(TrackingSettings())
    pinned = pinned_teachers(plan.experiment.candidates, registry)
    plan = replace(plan, experiment=plan.experiment.with_candidates(pinned))
    experiment, reference = plan.experiment, plan.reference

    @cache
    def split(seed: int) -> Splits:
        return split_data(load_data(experiment.data, seed), experiment.data, seed)

    settings = TrainingSettings()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    comparison = Comparison([], settings.reports / f"{file_name(experiment.name)}-seeds-{stamp}")
    trials: list[Trial] = []
    first = split(experiment.seed)
    console.print(first.report)
    with (
        working_folder(f"{experiment.name}-seeds") as scratch,
        registry.run(experiment.name, f"{experiment.name}, {plan.seeds} seeds"),
    ):
        mlflow.set_tags({"kind": "seeds", "reference": reference, "data": first.fingerprint})
        mlflow.log_text(experiment.as_yaml(), "experiment.yaml")
        with training_progress(console) as progress:
            for seed, names in plan.rounds():
                splits = split(seed) if plan.resplit else first
                contexts = {
                    name: training_context(
                        f"{name}, seed {seed}", experiment.candidates[name], splits, seed, scratch, registry,
                        progress, candidates=experiment.candidates,
                    )
                    for name in names
                }  # fmt: skip
                earlier = {
                    name: find_trial(registry, experiment.name, name, context.identity, seed)
                    for name, context in contexts.items()
                }
                again = _parts(names, earlier, experiment)
                bundles: dict[str, Path] = {}
                for name in names:
                    done = earlier[name]
                    if done is not None and name not in again:
                        comparison.found += 1
                        trials.append(done)
                        continue
                    context, config = contexts[name], experiment.candidates[name]
                    context = replace(context, siblings={**context.siblings, **bundles})
                    try:
                        trial = run_trial(experiment.name, name, config, splits, context, observers)
                    except Exception as error:  # one candidate's failure must not lose the others' hours
                        comparison.failed[context.name] = format_failure(error)
                        console.print(f"[red]{context.name} failed:[/] {escape(str(error))}", highlight=False)
                        continue
                    bundles[name] = context.bundle
                    comparison.trained += 1
                    trials.append(trial)
                    console.print(
                        f"{name}, seed {seed}: test macro-F1 {trial.figures['test_macro_f1']:.3f} "
                        f"in {trial.figures['training_seconds']:.1f} s",
                        highlight=False,
                    )
                for name in bundles:
                    shutil.rmtree(contexts[name].scratch, ignore_errors=True)
        if not trials:
            raise NoCandidateLeft(
                f"no trial of {experiment.name} has finished: "
                + "; ".join(f"{name}: {why}" for name, why in comparison.failed.items())
            )
        comparison.rankings = rankings(trials, list(experiment.candidates), reference, plan.confidence)
        write_report(comparison.report, plan, comparison.rankings, first, comparison.failed)
        mlflow.log_artifacts(str(comparison.report), "report")
    console.print(ranking_table(plan, comparison.rankings))
    console.print(
        f"{comparison.trained} trained, {comparison.found} from earlier, {len(comparison.failed)} failed. "
        f"Table, figures and picture: {comparison.report}",
        highlight=False,
        soft_wrap=True,
    )
    return comparison
