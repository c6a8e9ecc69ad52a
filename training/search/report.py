"""What a search and an experiment in phases tell: tables, pictures, and the figures behind them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.table import Table

from training.experiment import Experiment
from training.judging import Judged
from training.report import write_json
from training.search.pictures import optimisation_history, parameter_importances, precision_recall
from training.search.searching import best_trials
from training.search.space import settings_of
from training.search.trials import FAILURE

_SHOWN = 5
_ENOUGH_TO_EXPLAIN = 4


def write_search_report(study: optuna.Study, experiment: Experiment, folder: Path) -> list[Table | str]:
    """Write `trials.json` and the pictures of the search into `folder`; returns what to print."""
    trials = study.get_trials(deepcopy=False)
    folder.mkdir(parents=True, exist_ok=True)
    counts = Counter(_outcome(trial) for trial in trials)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    importances = _importances(study, experiment.seed)
    write_json(
        folder / "trials.json",
        {
            "study": study.study_name,
            "importances": importances,
            "trials": [_as_dict(trial) for trial in trials],
        },
    )
    title = f"{experiment.name}: {said}"
    optimisation_history(trials, folder / "optimisation_history.png", title=title)
    told: list[Table | str] = [_best_table(study, f"Search, {study.study_name}: {said}")]
    if importances:
        parameter_importances(
            importances,
            folder / "parameter_importances.png",
            title=f"{experiment.name}: what made the difference, {counts['complete']} complete trials",
        )
    else:
        told.append(
            f"Too few complete trials ({counts['complete']}), or all alike, to say which field made the difference."
        )
    if mlflow.active_run():
        mlflow.log_metrics({f"search_{outcome}": float(count) for outcome, count in counts.items()})
        mlflow.set_tag("study", study.study_name)
    return told


def write_balance(
    experiment: Experiment,
    judged: Sequence[Judged],
    winner: str | None,
    study: optuna.Study | None,
    path: Path,
) -> Table:
    """Draw precision against recall of every candidate on the validation part; returns them as a table, best first."""
    ranked = sorted(judged, key=lambda item: -item.validation.macro_f1.value)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if study else []
    precision_recall(
        [
            (
                item.name,
                experiment.phase_of(item.name),
                item.validation.macro_precision.value,
                item.validation.macro_recall.value,
            )
            for item in ranked
        ],
        [(trial.user_attrs["macro_precision"], trial.user_attrs["macro_recall"]) for trial in complete],
        winner,
        path,
        title=f"{experiment.name}: {ranked[0].validation.texts:,} validation texts",
    )
    table = Table(
        title="Precision and recall on the validation part, which chooses",
        title_justify="left", box=SIMPLE_HEAD, collapse_padding=True,
    )  # fmt: skip
    table.add_column("candidate", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    for heading in ("precision", "recall", "F1", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in ranked:
        scores = item.validation
        table.add_row(
            item.name,
            experiment.phase_of(item.name) or "",
            f"{scores.macro_precision.value:.3f}",
            f"{scores.macro_recall.value:.3f}",
            f"{scores.macro_f1.value:.3f}",
            f"{scores.macro_f1.low:.3f}–{scores.macro_f1.high:.3f}",
            style="bold" if item.name == winner else None,
        )
    return table


def _best_table(study: optuna.Study, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("val. F1", justify="right", no_wrap=True)
    table.add_column("configuration", overflow="fold")
    for trial in best_trials(study, _SHOWN):
        settings = ", ".join(f"{field} {_shown(value)}" for field, value in settings_of(trial).items())
        table.add_row(str(trial.number), f"{trial.value:.3f}", settings)
    return table


def _importances(study: optuna.Study, seed: int) -> dict[str, float]:
    """Field → share of the variance it explains (Hutter et al. 2014, ICML); empty where that cannot be told."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < _ENOUGH_TO_EXPLAIN or len({trial.value for trial in complete}) == 1:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: round(float(value), 4) for name, value in found.items()}


def _outcome(trial: FrozenTrial) -> str:
    if trial.state == TrialState.FAIL:
        return "failed" if FAILURE in trial.user_attrs else "interrupted"
    return trial.state.name.lower()


def _as_dict(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "outcome": _outcome(trial),
        "macro_f1": trial.value if trial.state == TrialState.COMPLETE else None,
        "epochs": {str(step): value for step, value in trial.intermediate_values.items()},
        "settings": settings_of(trial),
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
        **{name: trial.user_attrs[name] for name in ("run_id", FAILURE) if name in trial.user_attrs},
    }


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
