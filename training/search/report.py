"""The report of a search: tables, optimisation history, parameter importances, precision and recall."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
from matplotlib.ticker import MaxNLocator
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from training.evaluation.plots import BLUE, GREY, ORANGE
from training.experiment.schema import Experiment
from training.reporting.run_report import write_json
from training.search.study import settings_of
from training.search.trials import FAILURE, best_trials
from training.style import saved, sheet


def optimisation_history(trials: Sequence[FrozenTrial], path: Path, *, title: str) -> Path:
    """Each trial's macro-F1 in the order they were begun, the best so far as a line; pruned ones where they stopped."""
    figure, axes = sheet(8.5, 4.4)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.intermediate_values]
    if complete:
        values = [trial.value or 0.0 for trial in complete]
        numbers = [trial.number for trial in complete]
        axes.scatter(numbers, values, color=BLUE, zorder=3, label=f"complete ({len(complete)})")
        axes.step(numbers, np.maximum.accumulate(values), where="post", color=ORANGE, label="best so far")
    if pruned:
        last = [trial.intermediate_values[max(trial.intermediate_values)] for trial in pruned]
        axes.scatter(
            [trial.number for trial in pruned], last, color=GREY, marker="x", zorder=3,
            label=f"pruned, where it stopped ({len(pruned)})",
        )  # fmt: skip
    failed = sum(trial.state == TrialState.FAIL for trial in trials)
    axes.set_xlabel("trial" + (f"; {failed} failed, not shown" if failed else ""))
    axes.set_ylabel("macro-F1 on the validation part")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(title)
    if complete or pruned:
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return saved(figure, path)


def parameter_importances(importances: Mapping[str, float], path: Path, *, title: str) -> Path:
    """How much of the differences in macro-F1 each searched field explains, the largest on top."""
    names = sorted(importances, key=lambda name: importances[name])
    figure, axes = sheet(8.5, 1.7 + 0.42 * len(names))
    bars = axes.barh(names, [importances[name] for name in names], color=BLUE, height=0.6)
    axes.bar_label(bars, labels=[f"{importances[name]:.0%}" for name in names], padding=4, fontsize=9)
    axes.set_xlim(0, 1.1 * max(importances.values()))
    axes.set_xlabel("share of the variance of macro-F1 (fANOVA)")
    axes.tick_params(left=False)
    axes.set_title(title)
    return saved(figure, path)


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
    shown: list[Table | str] = [_best_table(study, f"Search, {study.study_name}: {said}")]
    if importances:
        parameter_importances(
            importances,
            folder / "parameter_importances.png",
            title=f"{experiment.name}: parameter importances, {counts['complete']} complete trials",
        )
    else:
        shown.append(
            f"Too few complete trials ({counts['complete']}), or all alike, to estimate parameter importances."
        )
    if mlflow.active_run():
        mlflow.log_metrics({f"search_{outcome}": float(count) for outcome, count in counts.items()})
        mlflow.set_tag("study", study.study_name)
    return shown


def _best_table(study: optuna.Study, title: str) -> Table:
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, collapse_padding=True)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("val. F1", justify="right", no_wrap=True)
    table.add_column("configuration", overflow="fold")
    for trial in best_trials(study, _SHOWN):
        settings = ", ".join(f"{field} {_shown(value)}" for field, value in settings_of(trial).items())
        table.add_row(str(trial.number), f"{trial.value:.3f}", escape(settings))
    return table


def _importances(study: optuna.Study, seed: int) -> dict[str, float]:
    """Field → share of the variance it explains (Hutter et al. 2014, ICML); empty where that is undetermined."""
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
