"""Every candidate with every seed, in turns; what an earlier comparison finished is not trained again."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import mlflow
from rich.console import Console

from stores.models import ModelRegistry
from stores.settings import TrackingSettings
from training.data import Splits, load_data, split_data
from training.distillation.teacher import pinned_teachers
from training.errors import ExperimentInvalid, NoCandidateLeft
from training.experiment import Experiment
from training.progress import training_progress
from training.seeds.report import standings_table, write_report
from training.seeds.statistics import Standing, standings
from training.seeds.trial import Trial, find_trial, run_trial, trial_key
from training.settings import TrainingSettings


@dataclass(frozen=True)
class Plan:
    """What is compared, and how."""

    experiment: Experiment
    seeds: int
    """How many, from the experiment's own seed upwards."""
    against: str | None = None
    """The candidate that all others are compared with; None: the first."""
    redraw: bool = False
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


@dataclass
class Comparison:
    """What came of it."""

    standings: list[Standing]
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
    registry = ModelRegistry(TrackingSettings())
    plan = replace(plan, experiment=pinned_teachers(plan.experiment, registry))
    experiment, reference = plan.experiment, plan.reference

    @cache
    def split(seed: int) -> Splits:
        return split_data(load_data(experiment.data, seed), experiment.data, seed)

    settings = TrainingSettings()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    comparison = Comparison([], settings.reports / f"{experiment.name}-seeds-{stamp}")
    trials: list[Trial] = []
    first = split(experiment.seed)
    console.print(first.report)
    scratch = Path(tempfile.mkdtemp(prefix=f"{experiment.name}-seeds-", dir=settings.scratch))
    try:
        with registry.run(experiment.name, f"{experiment.name}, {plan.seeds} seeds"):
            mlflow.set_tags({"kind": "seeds", "reference": reference, "data": first.fingerprint})
            mlflow.log_text(experiment.as_yaml(), "experiment.yaml")
            with training_progress(console) as progress:
                for seed, name in plan.trials():
                    config = experiment.candidates[name]
                    splits = split(seed) if plan.redraw else first
                    done = find_trial(registry, experiment.name, name, trial_key(config, splits, seed), seed)
                    if done is not None:
                        comparison.found += 1
                        trials.append(done)
                        continue
                    folder = scratch / f"{name}-{seed}"
                    try:
                        trial = run_trial(
                            registry, experiment.name, name, config, splits, seed, folder, progress
                        )
                    except Exception as error:  # one candidate's failure must not lose the others' hours
                        comparison.failed[f"{name}, seed {seed}"] = f"{type(error).__name__}: {error}"
                        console.print(f"[red]{name}, seed {seed} failed:[/] {error}", highlight=False)
                        continue
                    comparison.trained += 1
                    trials.append(trial)
                    console.print(
                        f"{name}, seed {seed}: test macro-F1 {trial.figures['test_macro_f1']:.3f} "
                        f"in {trial.figures['training_seconds']:.1f} s",
                        highlight=False,
                    )
            if not trials:
                raise NoCandidateLeft(
                    f"no trial of {experiment.name} has finished: "
                    + "; ".join(f"{name}: {why}" for name, why in comparison.failed.items())
                )
            comparison.standings = standings(trials, list(experiment.candidates), reference, plan.confidence)
            write_report(comparison.report, plan, comparison.standings, first, comparison.failed)
            mlflow.log_artifacts(str(comparison.report), "report")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    console.print(standings_table(plan, comparison.standings))
    console.print(
        f"{comparison.trained} trained, {comparison.found} from earlier, {len(comparison.failed)} failed. "
        f"Table, figures and picture: {comparison.report}",
        highlight=False,
        soft_wrap=True,
    )
    return comparison
