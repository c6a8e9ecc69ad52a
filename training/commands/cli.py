"""The commands of `python -m training`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from classifier.errors import ClassifierError
from stores.errors import StoreError
from stores.names import file_name
from stores.settings import ClusterSettings, TrackingSettings, VarSettings, private_umask
from stores.telemetry import turn_telemetry_off
from training.data import DataConfig, DataError, load_data, split_data
from training.errors import ExperimentInvalid, TrainingError
from training.experiment.loader import experiment_files, load_experiment
from training.logs import log_to_file
from training.settings import TrainingSettings

_SET = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override one key of the experiment, dotted: --set candidates.minilm.epochs=1. Repeatable.",
)  # fmt: skip
_SMOKE = click.option(
    "--smoke", is_flag=True,
    help="A small size on packaged text and weights, with no network; registered under a separate name.",
)  # fmt: skip
_EXPERIMENT = click.argument("experiment", default="quickstart")


@click.group()
def main() -> None:
    """Train candidates, compare them, and decide which one serves."""
    turn_telemetry_off()
    private_umask()
    # What the hub's libraries download; they read this when they are imported, which is later.
    os.environ.setdefault("HF_HOME", str(VarSettings().root / "huggingface"))


@main.command()
@_EXPERIMENT
@_SET
@_SMOKE
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
    with _errors(), log_to_file(TrainingSettings()):
        overrides = (*overrides, "fit_all=true") if fit_all else overrides
        loaded = load_experiment(experiment, overrides, smoke=smoke, once=once)
        from training.pipeline.run import (  # torch and MLflow take seconds to import
            check_can_run,
            run_experiment,
        )

        if dry_run:
            check_can_run(loaded, console=_console())
        else:
            run_experiment(loaded, console=_console(), fresh=fresh)


@main.command()
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

    with _errors(), log_to_file(TrainingSettings()):
        options = {"delimiter": delimiter, "encoding": encoding, "quote": quote}
        reading: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        try:
            data = DataConfig(source=str(file), header=not no_header, **reading)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        path, guessed = propose(
            data, texts=texts, label=label, name=name, out=out, fit_all=fit_all, force=force, console=_console()
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

        run_experiment(loaded, console=_console())
        for line in after_training(loaded):
            _console().print(line, highlight=False, soft_wrap=True)


@main.command()
@click.argument("experiment", required=False)
@click.option(
    "--teacher", default="champion", show_default=True,
    help="The teacher: `champion`, a version number, a bundle folder, or a candidate of EXPERIMENT.",
)  # fmt: skip
@_SET
def distill(experiment: str | None, teacher: str, overrides: tuple[str, ...]) -> None:
    """Train smaller students of the champion: fewer of its layers, and a linear model.

    Without EXPERIMENT it is `distillation`, on the data that the teacher learned from. The report's pareto.png shows
    what the students reach and cost. Exit status 2: it could not run.
    """
    with _errors():
        from training.commands.distill import distillation

        loaded = distillation(experiment, teacher, overrides)
        from training.pipeline.run import run_experiment

        run_experiment(loaded, console=_console())


@main.command()
@click.argument("experiment", required=False)
def pareto(experiment: str | None) -> None:
    """Draw quality against cost over past runs: all that was evaluated on the texts of EXPERIMENT's last run."""
    from training.reporting.past_runs import draw_past_runs

    with _errors():
        table, picture = draw_past_runs(experiment)
        _console().print(table)
        _console().print(f"Drawn in {picture}", markup=False, highlight=False, soft_wrap=True)


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
            from training.search.phase import join_search_on_ray

            address = ClusterSettings().ray_address
            return join_search_on_ray(loaded, _console(), address=address, workers=workers)
        from training.search.phase import join_search

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
    type=click.Choice(["train", "validation", "test", "holdout"]),
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
    """Evaluate MODEL on labelled texts: metrics with intervals, plots, JSON. Trains and registers nothing.

    MODEL is champion, challenger, previous, latest, a version's number, models:/NAME/VERSION, models:/NAME@ALIAS,
    runs:/RUN_ID/PATH, or the folder of a bundle. Exit status 2: it cannot be evaluated on these texts.
    """
    if file is None and experiment is None:
        raise click.UsageError("name the texts: --data FILE, or --experiment NAME, or both")
    with _errors():
        from training.commands.evaluate import evaluate_model, find_model, load_texts, write_evaluation

        loaded = load_experiment(experiment or "quickstart", overrides, smoke=smoke)
        texts, source, remarks = load_texts(loaded, file, part)
        registered = name or (loaded.registered_name(TrackingSettings().model_name) if experiment else None)
        said, classifier = find_model(model, registered)
        found = evaluate_model(said, classifier, texts, source, remarks)
        folder = out or TrainingSettings().folder(
            "reports", "evaluations", file_name(said.replace(", ", "-").replace(" ", "-"))
        )
        write_evaluation(found, folder)
        _console().print(found.table())
        for remark in found.remarks:
            _console().print(remark, highlight=False, markup=False)
        _console().print(f"Pictures and figures: {folder}", markup=False, highlight=False, soft_wrap=True)


@main.command()
@click.argument("key", default="")
def explain(key: str) -> None:
    """Say what KEY of an experiment file means, such as `candidates.minilm.epochs`; without it, every top key."""
    from training.experiment.explain import explain as explained

    with _errors():
        table = Table()
        for heading in ("key", "default", "meaning"):
            table.add_column(heading, overflow="fold")
        for item in explained(key):
            kinds = f"[dim]of {', '.join(item.kinds)}:[/] " if item.kinds else ""
            table.add_row(item.key, item.default, kinds + escape(item.meaning))
        _console().print(table)


@main.command()
def schema() -> None:
    """Print the JSON schema of experiment files, for editors; it is training/experiment.schema.json."""
    from training.experiment.explain import experiment_schema

    click.echo(experiment_schema(), nl=False)


@main.command("list")
def list_experiments() -> None:
    """Show the experiments that come with the project."""
    table = Table(title="Experiments", title_justify="left", show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column("description")
    with _errors():
        for file in experiment_files():
            found = load_experiment(file.stem)
            candidates = ", ".join(found.candidates) + (", and a search" if found.search else "")
            # Below one another: side by side, nothing is readable within 80 columns.
            table.add_row(
                found.name, f"{escape(found.description)}\n{escape(found.data.source)}: [dim]{candidates}[/]"
            )
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
@click.option(
    "--resplit", is_flag=True, help="With --seeds: use a different split of the texts for each seed."
)
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
    resplit: bool,
    confidence: float,
    overrides: tuple[str, ...],
) -> None:
    """Show the candidates of the last run with intervals, of EXPERIMENT or of whichever ran last.

    With --seeds, train them with several seeds and test which differences are significant. Trials with the same
    configuration, texts and seed are reused.
    """  # fmt: skip
    if seeds is None:
        if against or resplit or overrides:
            raise click.UsageError("--against, --resplit and --set belong to --seeds")
        from training.reporting.past_runs import comparison_tables

        with _errors():
            _console().print(*comparison_tables(experiment, every=every), sep="\n")
        return
    if experiment is None or every:
        raise click.UsageError("--seeds needs the EXPERIMENT to train, and shows no past runs")
    with _errors():
        loaded = load_experiment(experiment, overrides)
        from training.seed_comparison.run import compare_seeds
        from training.seed_comparison.statistics import Plan

        compare_seeds(Plan(loaded, seeds, against, resplit, confidence), console=_console())


@main.command()
@click.argument("version")
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
@click.option(
    "--force", is_flag=True, help="Promote it although its labels are others, or the gate refused it."
)
def promote(version: str, model: str | None, force: bool) -> None:
    """Show what VERSION changes and make it the champion; the champion until now becomes `previous`.

    A version with other labels than the champion's, or one that the gate refused, needs --force. Exit status 2: it was
    refused, or there is no such version.
    """
    from stores.registry import ModelRegistry
    from training.pipeline.promotion import promote_version

    with _errors():
        promote_version(ModelRegistry(_tracking(model)), version, force=force, console=_console())


@main.command()
@click.argument("version")
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
def sign(version: str, model: str | None) -> None:
    """Sign VERSION, which is registered, with MODEL_SIGNING_PRIVATE_KEY or MODEL_SIGNING_KEY.

    For versions from before a key was set, and when a key is exchanged. Its hashes are checked first.
    """
    from stores.registry import ModelRegistry
    from training.pipeline.promotion import sign_registered

    with _errors():
        sign_registered(ModelRegistry(_tracking(model)), version, console=_console())


@main.command()
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
def rollback(model: str | None) -> None:
    """Swap `champion` and `previous`; a second rollback undoes the first. Nothing refuses it."""
    from stores.registry import ModelRegistry
    from training.pipeline.promotion import roll_back

    with _errors():
        roll_back(ModelRegistry(_tracking(model)), console=_console())


@main.command()
@_EXPERIMENT
@_SET
@_SMOKE
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test", "holdout"]),
    default="holdout",
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

    Exit status 2: a finding of severity `error`, or the data cannot be read.
    """
    from training.pipeline.preflight import check_experiment

    with _errors():
        findings, page = check_experiment(load_experiment(experiment, overrides))
        _console().print(findings)
        _console().print(f"Pictures and examples: {page}", markup=False, highlight=False, soft_wrap=True)
        findings.stop_if_grave()


@main.command()
def originality() -> None:
    """Check that AWP and Mixout use torch and Python's standard library only. Exit status 1: a file uses more."""
    from training.commands.originality import check_regularisers

    table = Table("file", "imports", "result")
    checks = check_regularisers()
    for check in checks:
        result = "[green]passed[/]" if check.passed else f"[red]not allowed: {', '.join(check.violations)}[/]"
        table.add_row(check.path.name, ", ".join(check.imports), result)
    _console().print(table)
    sys.exit(0 if all(check.passed for check in checks) else 1)


def _tracking(model: str | None) -> TrackingSettings:
    return TrackingSettings(model_name=model) if model else TrackingSettings()


def _console() -> Console:
    return Console()


@contextmanager
def _errors() -> Iterator[None]:
    """Print an expected error as one sentence and exit with status 2; other errors keep their traceback."""
    try:
        yield
    except (TrainingError, DataError, StoreError, ClassifierError, OSError) as error:
        message = escape(str(error))  # it may name labels such as "[a]"
        Console(stderr=True).print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
        sys.exit(2)
