"""Candidates of past runs in MLflow: `python -m training compare` and `python -m training pareto`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from stores.names import file_name
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from training.errors import TrainingError
from training.evaluation import pareto
from training.evaluation.cost import Cost
from training.evaluation.intervals import Interval
from training.evaluation.pareto import Point
from training.settings import TrainingSettings


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
        title=escape(f"{parent.info.run_name}, {started}"),
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
        f"{metrics['latency_ms_p50']:.1f}",
    ]


def past_points(experiment: str | None) -> tuple[str, list[Point]]:
    """The last run's name and every candidate ever evaluated on the same texts; of each name the newest.

    Args:
        experiment: its name; None: whichever ran last. Runs of other experiments with the same texts count, too.

    Raises:
        TrainingError: nothing has run yet, or nothing was evaluated.
        RegistryUnavailable: MLflow does not answer.
    """
    client = ModelRegistry(TrackingSettings()).client
    runs = experiment_runs(client, experiment)
    if not runs:
        raise TrainingError(
            f"no run of {experiment!r} yet: start one with `python -m training run`"
            if experiment
            else "no run yet: start one with `python -m training run`"
        )
    data = runs[0].data.tags.get("data")
    found: dict[str, Point] = {}
    for parent in experiment_runs(client, None):
        if parent.data.tags.get("data") != data:
            continue
        for run in candidates_of(client, parent):
            for point in _points(run):
                found.setdefault(point.name, point)
    if not found:
        raise TrainingError(f"no candidate of {runs[0].info.run_name} was evaluated")
    return str(runs[0].info.run_name), list(found.values())


def draw_past_runs(experiment: str | None) -> tuple[Table, Path]:
    """The table of `past_points`, best first, and the picture's path under VAR_DIR."""
    name, points = past_points(experiment)
    points.sort(key=lambda point: -point.f1.value)
    table = Table(
        title=escape(f"Quality against cost, {name} and what was evaluated on the same texts"), title_justify="left",
        box=SIMPLE_HEAD, collapse_padding=True, caption=pareto.front_caption(points), caption_justify="left",
    )  # fmt: skip
    table.add_column("candidate", no_wrap=True)
    for heading in ("test F1", "interval", "MB", "ms/text"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in points:
        table.add_row(
            point.name, f"{point.f1.value:.3f}", f"{point.f1.low:.3f}–{point.f1.high:.3f}",
            f"{point.megabytes:.1f}", f"{point.milliseconds:.1f}",
        )  # fmt: skip
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = TrainingSettings().reports / f"pareto-{file_name(name)}-{stamp}.png"
    return table, pareto.draw(points, path, title=f"{name}: quality against serving cost")


def _points(run: Run) -> list[Point]:
    """A candidate's own point and that of its int8 file, as far as its run has them."""
    name = run.data.tags.get("candidate", str(run.info.run_name))
    found = []
    for prefix, called in (("", name), ("int8_", f"{name} int8")):
        figures = {
            key: run.data.metrics.get(prefix + key)
            for key in ("test_macro_f1", "test_macro_f1_low", "test_macro_f1_high")
        }
        milliseconds = run.data.metrics.get(f"{prefix}latency_ms_p50")
        megabytes = run.data.metrics.get(f"{prefix}megabytes")
        if None in figures.values() or milliseconds is None or megabytes is None:
            continue
        slowest = run.data.metrics.get(f"{prefix}latency_ms_p95", milliseconds)
        f1 = Interval(*(float(value or 0.0) for value in figures.values()))
        found.append(Point(called, f1, Cost(milliseconds, slowest, megabytes)))
    return found
