"""The state and the steps of a training run, and the interface of those that observe it.

`run_experiment` calls each method of `RunObserver` at its step; what a run computes does not depend on its observers,
except that the winner's bundle takes its `report/` from the report folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stores.registry import ModelRegistry
from training.data import LoadedData, Splits
from training.data.findings import Findings
from training.evaluation.candidate import CandidateResult
from training.evaluation.label_errors import LabelError
from training.experiment.schema import Experiment
from training.models.result import Trained, TrainingContext
from training.reporting.conclusion import WinnerComparison
from training.reporting.run_report import Outcome
from training.runs.preflight import Preflight
from training.runs.resume import RunFolder


@dataclass
class Run:
    """State of a training run, as its steps and observers see it."""

    experiment: Experiment
    """With the candidates that a search has found, once it is over."""
    registry: ModelRegistry
    loaded: LoadedData
    splits: Splits
    folder: RunFolder
    outcome: Outcome
    observers: RunObserver
    trials: list[tuple[float, float]] = field(default_factory=list)
    """Macro-precision and macro-recall on the validation part of each complete trial of the search."""
    findings: Findings = field(default_factory=Findings)
    """Results of the data checks."""
    comparison: WinnerComparison = field(default_factory=WinnerComparison)
    label_errors: list[LabelError] = field(default_factory=list)
    refit_sentences: list[str] = field(default_factory=list)
    """Remarks on the figures of a run with `fit_all`."""


class RunObserver:
    """Called at each step of a run, in this order; a method that is not overridden does nothing."""

    def registry_repaired(self, repairs: Sequence[str]) -> None:
        """Sentences about what an interrupted promotion had left in the registry; often none."""

    def started(self, experiment: Experiment, registry: ModelRegistry) -> None:
        """The experiment can run."""

    def data_split(self, splits: Splits) -> None:
        """The data are read and split."""

    def candidates_checked(self, preflight: Preflight) -> None:
        """The networks of all candidates are checked; `preflight` has notes and refusals."""

    def opened(self, run: Run) -> None:
        """The run's folder and its MLflow run, which is active from now on, exist."""

    def data_checked(self, run: Run) -> None:
        """`run.findings` are known; with one of severity `error` the run stops here."""

    def candidate_started(self, run: Run, name: str) -> None:
        """The training of a candidate starts."""

    def candidate_opened(self, run: Run) -> None:
        """The candidate's MLflow run is active until it is evaluated, or has failed."""

    def candidate_resumed(self, context: TrainingContext, trained: Trained) -> None:
        """The candidate was trained by an earlier run."""

    def candidate_evaluated(self, run: Run, context: TrainingContext, evaluated: CandidateResult) -> None:
        """The candidate is trained and evaluated."""

    def candidate_finished(self, evaluated: CandidateResult, seconds: float) -> None:
        """The candidate's MLflow run is closed, `seconds` after its start."""

    def candidate_failed(self, run: Run, name: str, error: Exception, kept: bool) -> None:
        """The candidate has failed; called while `error` is handled. `kept`: whether the next run continues it."""

    def candidates_timed(self, run: Run) -> None:
        """The latencies of all candidates are measured again, in turns."""

    def candidates_compared(self, run: Run, winner: CandidateResult | None) -> None:
        """The winner is known; without one the run stops here."""

    def winner_compared(self, run: Run, winner: CandidateResult) -> None:
        """`run.comparison` of the winner with the others is known."""

    def label_errors_found(self, run: Run) -> None:
        """`run.label_errors` are known."""

    def gate_decided(self, run: Run, winner: CandidateResult) -> None:
        """The gate has decided on the winner."""

    def refit_failed(self, winner: CandidateResult) -> None:
        """The winner could not be trained on all texts; called while the error is handled."""

    def registered(self, run: Run, winner: CandidateResult) -> None:
        """The winner is registered; the MLflow run is still active."""

    def finished(self, run: Run, winner: CandidateResult) -> None:
        """The MLflow run is closed."""

    def failed(self, folder: RunFolder) -> None:
        """The run has failed; its folder is still there."""


_EVENTS = tuple(name for name in vars(RunObserver) if not name.startswith("_"))


class Observers(RunObserver):
    """Passes each step on to several observers, in order."""

    def __init__(self, *observers: RunObserver) -> None:
        self._observers = observers
        for event in _EVENTS:
            setattr(self, event, partial(self._notify, event))

    def _notify(self, event: str, *arguments: Any) -> None:
        for observer in self._observers:
            getattr(observer, event)(*arguments)


@contextmanager
def notify_failure(observers: RunObserver, folder: RunFolder) -> Iterator[None]:
    """Notify the observers where the block fails."""
    try:
        yield
    except Exception:
        observers.failed(folder)
        raise
