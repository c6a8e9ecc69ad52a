"""The search as a step of a run: after the candidates that the file lists, before all are compared."""

from __future__ import annotations

import logging
from pathlib import Path

import optuna
from rich.progress import Progress

from stores.models import ModelRegistry
from training.data import Splits
from training.errors import TrainingError
from training.experiment import Experiment
from training.search.report import write_search_report
from training.search.searching import found_candidates, search

log = logging.getLogger(__name__)


def searched(
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    scratch: Path,
    report: Path,
    progress: Progress,
    failed: dict[str, str],
    *,
    parent_run: str,
) -> tuple[Experiment, optuna.Study | None]:
    """Search, report to `report`, and return `experiment` with the candidates that were found, and the study.

    A search that fails is noted in `failed`, as a candidate is, and loses nobody else's results.
    """
    study = None
    try:
        study = search(experiment, splits, registry, scratch, progress, parent_run=parent_run)
        for told in write_search_report(study, experiment, report):
            progress.console.print(told, highlight=False)
        return experiment.with_found(found_candidates(experiment, study)), study
    except TrainingError as error:
        failed["search"] = f"{type(error).__name__}: {error}"
        log.exception("search_failed")
        progress.console.print(f"[red]the search failed:[/] {error}", highlight=False)
        return experiment, study
