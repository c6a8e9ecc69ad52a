"""`python -m training pareto`: quality against cost over past runs, as MLflow keeps them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Run
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stores.models import ModelRegistry
from stores.settings import TrackingSettings
from training import pareto
from training.compare import candidates_of, experiment_runs
from training.cost import Cost
from training.errors import TrainingError
from training.pareto import Point
from training.resampling import Interval
from training.settings import TrainingSettings


def past_points(experiment: str | None) -> tuple[str, list[Point]]:
    """The last run's name and every candidate ever judged on the same texts; of each name the newest.

    Args:
        experiment: its name; None: whichever ran last. Runs of other experiments with the same texts count, too.

    Raises:
        TrainingError: nothing has run yet, or nothing was judged.
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
        raise TrainingError(f"no candidate of {runs[0].info.run_name} was judged")
    return str(runs[0].info.run_name), list(found.values())


def draw_past(experiment: str | None) -> tuple[Table, Path]:
    """The table of `past_points`, best first, and the picture's path under VAR_DIR."""
    name, points = past_points(experiment)
    points.sort(key=lambda point: -point.f1.value)
    table = Table(
        title=f"Quality against cost, {name} and what was judged on the same texts", title_justify="left",
        box=SIMPLE_HEAD, collapse_padding=True, caption=pareto.standings(points), caption_justify="left",
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
    path = TrainingSettings().reports / f"pareto-{name}-{stamp}.png"
    return table, pareto.draw(points, path, title=f"{name}: what quality costs to serve")


def _points(run: Run) -> list[Point]:
    """A candidate's own point and that of its int8 file, as far as its run has them."""
    name = run.data.tags.get("candidate", str(run.info.run_name))
    found = []
    for prefix, called in (("", name), ("int8_", f"{name} int8")):
        figures = {
            key: run.data.metrics.get(prefix + key)
            for key in ("test_macro_f1", "test_macro_f1_low", "test_macro_f1_high")
        }
        milliseconds = run.data.metrics.get(f"{prefix}milliseconds_a_text")
        megabytes = run.data.metrics.get(f"{prefix}megabytes")
        if None in figures.values() or milliseconds is None or megabytes is None:
            continue
        slowest = run.data.metrics.get(f"{prefix}milliseconds_a_text_p95", milliseconds)
        f1 = Interval(*(float(value or 0.0) for value in figures.values()))
        found.append(Point(called, f1, Cost(milliseconds, slowest, megabytes)))
    return found
