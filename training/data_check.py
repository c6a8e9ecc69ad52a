"""The checks of an experiment's data: what its networks will read is known here, too."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from training.candidates.reading import readers_of
from training.data import LoadedData, Splits, load_data, split_data
from training.data.checks.checking import check_data
from training.data.checks.finding import Findings
from training.data.checks.page import write_data_page
from training.experiment import Experiment
from training.settings import TrainingSettings


def check_experiment(experiment: Experiment) -> tuple[Findings, Path]:
    """Load, split and check the data of `experiment`; returns what was found and the page that shows it.

    Raises:
        DataError: the data cannot be read or split.
    """
    loaded = load_data(experiment.data, experiment.seed)
    splits = split_data(loaded, experiment.data, experiment.seed)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    folder = TrainingSettings().reports / f"{experiment.name}-data-{stamp}"
    findings = check_experiment_data(experiment, loaded, splits, folder)
    return findings, folder / "data.html"


def check_experiment_data(
    experiment: Experiment, loaded: LoadedData, splits: Splits, folder: Path
) -> Findings:
    """Check data that is loaded and split, and write `data.html` with its pictures into `folder`."""
    readers = readers_of(experiment.candidates)
    findings = check_data(loaded, splits, experiment.data, seed=experiment.seed, readers=readers)
    write_data_page(folder, findings, splits, experiment.name)
    return findings
