"""`python -m training search`: one more process at an experiment's search."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from rich.console import Console

from stores.models import ModelRegistry
from stores.settings import TrackingSettings
from training.data import load_data, split_data
from training.errors import ExperimentInvalid
from training.experiment import Experiment
from training.progress import training_progress
from training.search.searching import done, search
from training.settings import TrainingSettings


def join_search(experiment: Experiment, console: Console) -> None:
    """Take trials of `experiment`'s search until none is left; the candidates, and what is found, are `run`'s.

    Raises:
        ExperimentInvalid: it has no `search`.
        DataError, StoreError, SearchUnavailable: data, registry or trials cannot be read.
    """
    if experiment.search is None:
        raise ExperimentInvalid(f"{experiment.name} has no `search` section: there is nothing to search")
    splits = split_data(load_data(experiment.data, experiment.seed), experiment.data, experiment.seed)
    tracking = TrackingSettings()
    tracking = tracking.model_copy(update={"model_name": experiment.registered_name(tracking.model_name)})
    scratch = tempfile.mkdtemp(prefix=f"{experiment.name}-search-", dir=TrainingSettings().scratch)
    try:
        with training_progress(console) as progress:
            study = search(experiment, splits, ModelRegistry(tracking), Path(scratch), progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    console.print(f"{study.study_name}: {done(study)} trials are done.", highlight=False)
