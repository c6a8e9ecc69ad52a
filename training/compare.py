"""`python -m training compare`: candidates of past runs side by side, as MLflow keeps them."""

from __future__ import annotations

from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stores.models import ModelRegistry
from stores.settings import TrackingSettings
from training.errors import TrainingError


def comparison_tables(experiment: str | None, *, every: bool) -> list[Table]:
    """Candidates with their test figures and intervals, best first; a table a run, the newest run first.

    Args:
        experiment: its name; None: whichever ran last.
        every: every run, not the last one only.

    Raises:
        TrainingError: nothing has run yet.
        RegistryUnavailable: MLflow does not answer.
    """
    client = ModelRegistry(TrackingSettings()).client
    runs = experiment_runs(client, experiment)
    if not runs:
        what = f"of {experiment!r} " if experiment else ""
        raise TrainingError(f"no run {what}yet: start one with `python -m training run`")
    return [_table(client, parent) for parent in (runs if every else runs[:1])]


def _table(client: MlflowClient, parent: Run) -> Table:
    started = datetime.fromtimestamp(parent.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    table = Table(
        title=f"{parent.info.run_name}, {started}",
        title_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
    )
    table.add_column("candidate", no_wrap=True)
    for heading in ("val. F1", "test F1", "interval", "MB", "ms/text"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in candidates_of(client, parent):
        table.add_row(*_row(parent, run))
    return table


def experiment_runs(client: MlflowClient, experiment: str | None) -> list[Run]:
    """Runs of whole experiments, newest first; None: of every experiment."""
    found = client.search_experiments()
    ids = [item.experiment_id for item in found if experiment in (None, item.name)]
    if not ids:
        return []
    return list(
        client.search_runs(
            ids, "tags.kind = 'experiment'", order_by=["attributes.start_time DESC"], max_results=100
        )
    )


def candidates_of(client: MlflowClient, parent: Run) -> list[Run]:
    """Runs of the candidates of a run, best on the validation part first."""
    runs = client.search_runs(
        [parent.info.experiment_id],
        # Trials of a search are its children, too, and no candidates.
        f"tags.mlflow.parentRunId = '{parent.info.run_id}' and tags.kind = 'candidate'",
    )
    return sorted(runs, key=lambda run: -run.data.metrics.get("validation_macro_f1", -1.0))


def _row(parent: Run, run: Run) -> list[str]:
    name = run.data.tags.get("candidate", run.info.run_name)
    metrics = run.data.metrics
    if "test_macro_f1" not in metrics:
        return [f"{name} ({run.info.status.lower()})"]
    return [
        f"{name} (winner)" if name == parent.data.tags.get("winner") else name,
        f"{metrics['validation_macro_f1']:.3f}",
        f"{metrics['test_macro_f1']:.3f}",
        f"{metrics['test_macro_f1_low']:.3f}–{metrics['test_macro_f1_high']:.3f}",
        f"{metrics['megabytes']:.1f}",
        f"{metrics['milliseconds_a_text']:.1f}",
    ]
