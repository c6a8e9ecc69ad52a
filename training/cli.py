"""The commands: run, list, search, compare, promote, rollback, data, data-check, evaluate, explain."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stores.errors import StoreError
from stores.settings import ClusterSettings, TrackingSettings, VarSettings
from stores.telemetry import turn_telemetry_off
from training.data import DataError, load_data, split_data
from training.errors import TrainingError
from training.experiment import experiment_files, load_experiment
from training.logs import log_to_file
from training.settings import TrainingSettings

_SET = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override one key of the experiment, dotted: --set candidates.minilm.epochs=1. Repeatable.",
)  # fmt: skip
_SMOKE = click.option(
    "--smoke", is_flag=True,
    help="A small size on packaged text and weights, with no network; registered under a name of its own.",
)  # fmt: skip
_EXPERIMENT = click.argument("experiment", default="quickstart")


@click.group()
def main() -> None:
    """Train candidates, compare them, and decide which one serves."""
    turn_telemetry_off()
    # What the hub's libraries download; they read this when they are imported, which is later.
    os.environ.setdefault("HF_HOME", str(VarSettings().root / "huggingface"))


@main.command()
@_EXPERIMENT
@_SET
@_SMOKE
@click.option(
    "--fresh", is_flag=True, help="Train from the start, whatever a run that was broken off has left."
)
def run(experiment: str, overrides: tuple[str, ...], smoke: bool, fresh: bool) -> None:
    """Train EXPERIMENT's candidates, register the best, and promote it if it beats the champion.

    EXPERIMENT is a name from `list`, or the path of a YAML file. A run that was broken off is gone on with: what is
    trained is not trained again. Exit status 2: it could not run.
    """
    with _errors(), log_to_file(TrainingSettings()):
        loaded = load_experiment(experiment, overrides, smoke=smoke)
        from training.run import run_experiment  # torch and MLflow take seconds to import

        run_experiment(loaded, console=_console(), fresh=fresh)


@main.command()
@click.argument("experiment", required=False)
@click.option(
    "--teacher", default="champion", show_default=True,
    help="Who teaches: `champion`, a version's number, a bundle's folder, or a candidate of EXPERIMENT.",
)  # fmt: skip
@_SET
def distill(experiment: str | None, teacher: str, overrides: tuple[str, ...]) -> None:
    """Train smaller students of the champion: fewer of its layers, and a linear model.

    Without EXPERIMENT it is `distillation`, on the data that the teacher learned from. The report's pareto.png shows
    what the students reach and cost. Exit status 2: it could not run.
    """
    with _errors():
        from training.distillation.command import distillation

        loaded = distillation(experiment, teacher, overrides)
        from training.run import run_experiment

        run_experiment(loaded, console=_console())


@main.command()
@click.argument("experiment", required=False)
def pareto(experiment: str | None) -> None:
    """Draw quality against cost over past runs: all that was judged on the texts of EXPERIMENT's last run."""
    from training.past_points import draw_past

    with _errors():
        table, picture = draw_past(experiment)
        _console().print(table)
        _console().print(f"Drawn in {picture}", highlight=False, soft_wrap=True)


@main.command()
@click.argument("experiment")
@_SET
@_SMOKE
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Join as this one process, or as many on Ray (RAY_ADDRESS; unset: a Ray on this machine).",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Of --engine ray: processes of one processor each. Default: all processors.",
)
def search(
    experiment: str, overrides: tuple[str, ...], smoke: bool, engine: str, workers: int | None
) -> None:
    """Join EXPERIMENT's search as one more process, here or on another machine, and leave when it is done.

    `run EXPERIMENT` searches by itself; this only makes it faster. All share their trials through SEARCH_URL and show
    them in MLFLOW_TRACKING_URI, so both must be the same for all, as must EXPERIMENT and every --set.
    """
    if workers and engine == "local":
        raise click.UsageError("--workers belongs to --engine ray")
    with _errors(), log_to_file(TrainingSettings()):
        loaded = load_experiment(experiment, overrides, smoke=smoke)
        if engine == "ray":
            from training.search.on_ray import join_search_on_ray

            address = ClusterSettings().ray_address
            return join_search_on_ray(loaded, _console(), address=address, workers=workers)
        from training.search.command import join_search

        return join_search(loaded, _console())


@main.command()
@click.argument("model", default="champion")
@click.option(
    "--data",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A labelled CSV, TSV, Parquet or JSONL file.",
)
@click.option("--experiment", help="Take the data options, or with no --data the texts, of this experiment.")
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test", "reserve"]),
    default="test",
    show_default=True,
    help="With --experiment and no --data: which part of its texts.",
)
@click.option("--name", help="Registered model; default: the experiment's, or the setting MODEL_NAME.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
@_SET
@_SMOKE
def evaluate(
    model: str,
    file: Path | None,
    experiment: str | None,
    part: str,
    name: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
    smoke: bool,
) -> None:
    """Judge MODEL on labelled texts: figures with intervals, pictures, JSON. Trains and registers nothing.

    MODEL is `champion`, `challenger`, `previous`, a version's number, or a bundle's folder. Exit status 2: it cannot
    be judged on these texts.
    """
    if file is None and experiment is None:
        raise click.UsageError("name the texts: --data FILE, or --experiment NAME, or both")
    with _errors():
        from training.evaluating import evaluate_model, find_model, texts_to_judge, write_evaluation

        loaded = load_experiment(experiment or "quickstart", overrides, smoke=smoke)
        texts, source, remarks = texts_to_judge(loaded, file, part)
        registered = name or (loaded.registered_name(TrackingSettings().model_name) if experiment else None)
        said, classifier = find_model(model, registered)
        found = evaluate_model(said, classifier, texts, source, remarks)
        folder = out or TrainingSettings().folder(
            "reports", "evaluations", f"{said.replace(', ', '-').replace(' ', '-')}"
        )
        write_evaluation(found, folder)
        _console().print(found.table())
        for remark in found.remarks:
            _console().print(remark, highlight=False)
        _console().print(f"Pictures and figures: {folder}", highlight=False, soft_wrap=True)


@main.command()
@click.argument("key", default="")
def explain(key: str) -> None:
    """Say what KEY of an experiment file means, such as `candidates.minilm.epochs`; without it, every top key."""
    from training.explaining import explain as explained

    with _errors():
        table = Table()
        for heading in ("key", "default", "meaning"):
            table.add_column(heading, overflow="fold")
        for item in explained(key):
            kinds = f"[dim]of {', '.join(item.kinds)}:[/] " if item.kinds else ""
            table.add_row(item.key, item.default, kinds + escape(item.meaning))
        _console().print(table)


@main.command("list")
def list_experiments() -> None:
    """Show the experiments that come with the project."""
    table = Table(title="Experiments", title_justify="left", show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    with _errors():
        for file in experiment_files():
            found = load_experiment(file.stem)
            candidates = ", ".join(found.candidates) + (", and a search" if found.search else "")
            # Below one another: side by side, nothing is readable within 80 columns.
            table.add_row(found.name, f"{found.description}\n{found.data.source}: [dim]{candidates}[/]")
    _console().print(table)


@main.command()
@click.argument("experiment", required=False)
@click.option("--all", "every", is_flag=True, help="Every run, not the last one only.")
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    metavar="N",
    help="Train every candidate of EXPERIMENT with N seeds, and compare them; nothing is registered.",
)
@click.option(
    "--against", metavar="CANDIDATE", help="With --seeds: compare with this one; default: the first."
)
@click.option("--redraw", is_flag=True, help="With --seeds: each seed also draws its own split of the texts.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="With --seeds: confidence of the intervals.",
)
@_SET
def compare(
    experiment: str | None,
    every: bool,
    seeds: int | None,
    against: str | None,
    redraw: bool,
    confidence: float,
    overrides: tuple[str, ...],
) -> None:
    """Show the candidates of the last run with intervals, of EXPERIMENT or of whichever ran last.

    With --seeds, train them anew several times and say which differences are more than chance. What was trained
    before with the same configuration, texts and seed is not trained again.
    """  # fmt: skip
    if seeds is None:
        if against or redraw or overrides:
            raise click.UsageError("--against, --redraw and --set belong to --seeds")
        from training.compare import comparison_tables

        with _errors():
            _console().print(*comparison_tables(experiment, every=every), sep="\n")
        return
    if experiment is None or every:
        raise click.UsageError("--seeds needs the EXPERIMENT to train, and shows no past runs")
    with _errors():
        loaded = load_experiment(experiment, overrides)
        from training.seeds.running import Plan, compare_seeds

        compare_seeds(Plan(loaded, seeds, against, redraw, confidence), console=_console())


@main.command()
@click.argument("version")
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
def promote(version: str, model: str | None) -> None:
    """Make VERSION the champion, whatever the gate said; the champion until now becomes `previous`."""
    from stores.models import ModelRegistry

    with _errors():
        promoted = ModelRegistry(_tracking(model)).promote(version)
        _console().print(f"Version {promoted.version} of {promoted.name} is champion.", highlight=False)


@main.command()
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
def rollback(model: str | None) -> None:
    """Swap `champion` and `previous`; a second rollback undoes the first."""
    from stores.models import ModelRegistry

    with _errors():
        champion = ModelRegistry(_tracking(model)).rollback()
        _console().print(f"Version {champion.version} of {champion.name} is champion again.", highlight=False)


@main.command()
@_EXPERIMENT
@_SET
@_SMOKE
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test", "reserve"]),
    default="reserve",
    show_default=True,
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The JSONL file to write."
)
def data(experiment: str, overrides: tuple[str, ...], smoke: bool, part: str, out: Path) -> None:
    """Write one part of EXPERIMENT's data as JSONL: {"text": …, "label": …} a line."""
    with _errors():
        loaded = load_experiment(experiment, overrides, smoke=smoke)
        splits = split_data(load_data(loaded.data, loaded.seed), loaded.data, loaded.seed)
        chosen = splits.parts()[part]
        chosen.write_jsonl(out)
        _console().print(f"{len(chosen)} texts of {part} in {out}", highlight=False, soft_wrap=True)


@main.command("data-check")
@_EXPERIMENT
@_SET
def data_check(experiment: str, overrides: tuple[str, ...]) -> None:
    """Look for faults in EXPERIMENT's data: leaks, copies, labels that conflict, languages and more.

    Exit status 2: a finding is so grave that `run` would not train on it, or the data cannot be read.
    """
    from training.data_check import check_experiment

    with _errors():
        findings, page = check_experiment(load_experiment(experiment, overrides))
        _console().print(findings)
        _console().print(f"Pictures and examples: {page}", highlight=False, soft_wrap=True)
        findings.stop_if_grave()


def _tracking(model: str | None) -> TrackingSettings:
    return TrackingSettings(model_name=model) if model else TrackingSettings()


def _console() -> Console:
    return Console()


@contextmanager
def _errors() -> Iterator[None]:
    """What is wrong in one sentence, and exit status 2; a bug keeps its trace."""
    try:
        yield
    except (TrainingError, DataError, StoreError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
