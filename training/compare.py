"""`python -m training compare`: candidates of past runs side by side, as MLflow keeps them."""

from __future__ import annotations

from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.table import Table

from stores.models import ModelRegistry
from stores.settings import TrackingSettings
from training.errors import TrainingError


def comparison_table(experiment: str | None, *, every: bool) -> Table:
    """Candidates with their test figures and intervals.

    Args:
        experiment: its name; None: whichever ran last.
        every: every run, not the last one only.

    Raises:
        TrainingError: nothing has run yet.
        RegistryUnavailable: MLflow does not answer.
    """
    client = ModelRegistry(TrackingSettings()).client
    runs = _experiment_runs(client, experiment)
    if not runs:
        what = f"of {experiment!r} " if experiment else ""
        raise TrainingError(f"no run {what}yet: start one with `python -m training run`")
    table = Table(title="Candidates, best first within each run", title_justify="left")
    for heading in ("run", "candidate", "status"):
        table.add_column(heading)
    for heading in (
        "validation F1",
        "test F1 (interval)",
        "accuracy (interval)",
        "calibration",
        "MB",
        "ms a text",
    ):
        table.add_column(heading, justify="right")
    for parent in runs if every else runs[:1]:
        for position, run in enumerate(_candidates(client, parent)):
            table.add_row(*_row(parent, run, first=position == 0))
        table.add_section()
    return table


def _experiment_runs(client: MlflowClient, experiment: str | None) -> list[Run]:
    found = client.search_experiments()
    ids = [item.experiment_id for item in found if experiment in (None, item.name)]
    if not ids:
        return []
    return list(
        client.search_runs(
            ids, "tags.kind = 'experiment'", order_by=["attributes.start_time DESC"], max_results=100
        )
    )


def _candidates(client: MlflowClient, parent: Run) -> list[Run]:
    runs = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    )
    return sorted(runs, key=lambda run: -run.data.metrics.get("validation_macro_f1", -1.0))


def _row(parent: Run, run: Run, *, first: bool) -> list[str]:
    started = datetime.fromtimestamp(parent.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    name = run.data.tags.get("candidate", run.info.run_name)
    won = " (winner)" if name == parent.data.tags.get("winner") else ""
    metrics = run.data.metrics
    row = [f"{parent.info.run_name} {started}" if first else "", f"{name}{won}", run.info.status.lower()]
    if "test_macro_f1" not in metrics:
        return row
    for figure in ("macro_f1", "accuracy"):
        low, high = metrics[f"test_{figure}_low"], metrics[f"test_{figure}_high"]
        row.append(f"{metrics[f'test_{figure}']:.3f} ({low:.3f} to {high:.3f})")
    row.insert(3, f"{metrics['validation_macro_f1']:.3f}")
    row += [
        f"{metrics['test_calibration_error']:.3f}",
        f"{metrics['megabytes']:.1f}",
        f"{metrics['milliseconds_a_text']:.1f}",
    ]
    return row
