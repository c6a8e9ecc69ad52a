"""Commands that train: `run`, `new`, `distill` and `search`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from stores.settings import ClusterSettings
from training.commands.shared import EXPERIMENT_ARGUMENT, SET_OPTION, SMOKE_OPTION, expected_errors
from training.data import DataConfig
from training.errors import ExperimentInvalid
from training.experiment.loader import load_experiment
from training.logs import log_to_file
from training.settings import TrainingSettings


@click.command()
@EXPERIMENT_ARGUMENT
@SET_OPTION
@SMOKE_OPTION
@click.option("--fresh", is_flag=True, help="Train from the start; do not resume an interrupted run.")
@click.option(
    "--once", multiple=True, metavar="KEY=VALUE",
    help="Like --set, for this run only: the version that it makes does not carry it, so a retraining does not "
    "repeat it.",
)  # fmt: skip
@click.option(
    "--fit-all",
    is_flag=True,
    help="Train the winner once more, on all texts, after it was evaluated (fit_all=true).",
)
@click.option(
    "--dry-run", is_flag=True, help="Read the experiment and its data, and print what would be trained."
)
def run(
    experiment: str,
    overrides: tuple[str, ...],
    smoke: bool,
    fresh: bool,
    once: tuple[str, ...],
    fit_all: bool,
    dry_run: bool,
) -> None:
    """Train EXPERIMENT's candidates, register the best, and promote it if it beats the champion.

    EXPERIMENT is a name from `list`, the path of a YAML file, or `models:/NAME/VERSION` (or `models:/NAME@champion`):
    the experiment that made that version. An interrupted run is resumed: trained candidates are not trained
    again. A version whose labels or data source are not the champion's gets no alias. Exit status 2: it could not run.
    """
    with expected_errors(), log_to_file(TrainingSettings()):
        overrides = (*overrides, "fit_all=true") if fit_all else overrides
        loaded = load_experiment(experiment, overrides, smoke=smoke, once=once)
        from training.pipeline.run import (  # torch and MLflow take seconds to import
            check_can_run,
            run_experiment,
        )

        if dry_run:
            check_can_run(loaded, console=Console())
        else:
            run_experiment(loaded, console=Console(), fresh=fresh)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--text-column",
    "texts",
    multiple=True,
    metavar="COLUMN",
    help="Column of the text; given several times, the columns are joined. Default: found by name, else by content.",
)
@click.option("--label-column", "label", metavar="COLUMN", help="Column of the label. Default: the same.")
@click.option("--name", help="Name of the experiment and of the model; default: after FILE.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The YAML file to write; default: NAME.yaml in the working directory.",
)
@click.option("--delimiter", help="What separates the columns of a text file; default: found.")
@click.option("--encoding", help="Encoding of a text file without a byte order mark; default: UTF-8.")
@click.option(
    "--quote",
    type=click.Choice(["auto", "double", "backslash", "none"]),
    help="What a double quote means in a text file; default: found.",
)
@click.option("--no-header", is_flag=True, help="The first row is data; columns are called 1, 2, …")
@click.option("--train", is_flag=True, help="Run the experiment after writing it.")
@click.option(
    "--fit-all", is_flag=True, help="Train the winner once more, on all texts, after it was evaluated."
)
@click.option("--force", is_flag=True, help="Replace an existing YAML file.")
def new(
    file: Path,
    texts: tuple[str, ...],
    label: str | None,
    name: str | None,
    out: Path | None,
    delimiter: str | None,
    encoding: str | None,
    quote: str | None,
    no_header: bool,
    train: bool,
    fit_all: bool,
    force: bool,
) -> None:
    """Profile FILE (CSV, TSV, JSON lines or Parquet) and write an experiment for it.

    The experiment is a commented YAML file with a choice of candidates, split and settings that fit the file; --train
    runs it. Exit status 2: the file cannot be read, or there is too little in it to learn from.
    """
    from training.proposal.command import after_training, propose  # torch takes seconds to import

    with expected_errors(), log_to_file(TrainingSettings()):
        options = {"delimiter": delimiter, "encoding": encoding, "quote": quote}
        reading: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        try:
            data = DataConfig(source=str(file), header=not no_header, **reading)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        path, guessed = propose(
            data, texts=texts, label=label, name=name, out=out, fit_all=fit_all, force=force, console=Console()
        )  # fmt: skip
        if not train:
            return
        if guessed:
            raise ExperimentInvalid(
                f"the labels are numbers, and the classes in {path} are a guess: look at label_bins, then "
                f"`python -m training run {path}`"
            )
        loaded = load_experiment(str(path))
        from training.pipeline.run import run_experiment

        run_experiment(loaded, console=Console())
        for line in after_training(loaded):
            Console().print(line, highlight=False, soft_wrap=True)


@click.command()
@click.argument("experiment", required=False)
@click.option(
    "--teacher", default="champion", show_default=True,
    help="The teacher: `champion`, a version number, a bundle folder, or a candidate of EXPERIMENT.",
)  # fmt: skip
@SET_OPTION
def distill(experiment: str | None, teacher: str, overrides: tuple[str, ...]) -> None:
    """Train smaller students of the champion: fewer of its layers, and a linear model.

    Without EXPERIMENT it is `distillation`, on the data that the teacher learned from. The report's pareto.png shows
    what the students reach and cost. Exit status 2: it could not run.
    """
    with expected_errors():
        from training.commands.distill import distillation

        loaded = distillation(experiment, teacher, overrides)
        from training.pipeline.run import run_experiment

        run_experiment(loaded, console=Console())


@click.command()
@click.argument("experiment")
@SET_OPTION
@SMOKE_OPTION
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
    with expected_errors(), log_to_file(TrainingSettings()):
        loaded = load_experiment(experiment, overrides, smoke=smoke)
        if engine == "ray":
            from training.search.phase import join_search_on_ray

            address = ClusterSettings().ray_address
            return join_search_on_ray(loaded, Console(), address=address, workers=workers)
        from training.search.phase import join_search

        return join_search(loaded, Console())
