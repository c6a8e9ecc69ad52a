"""Commands that evaluate and compare: `evaluate`, `compare` and `pareto`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from stores.names import file_name
from stores.settings import TrackingSettings
from training.commands.shared import SET_OPTION, SMOKE_OPTION, expected_errors
from training.experiment.loader import load_experiment
from training.settings import TrainingSettings


@click.command()
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
@SET_OPTION
@SMOKE_OPTION
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
    with expected_errors():
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
        Console().print(found.table())
        for remark in found.remarks:
            Console().print(remark, highlight=False, markup=False)
        Console().print(f"Pictures and figures: {folder}", markup=False, highlight=False, soft_wrap=True)


@click.command()
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
@SET_OPTION
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

        with expected_errors():
            Console().print(*comparison_tables(experiment, every=every), sep="\n")
        return
    if experiment is None or every:
        raise click.UsageError("--seeds needs the EXPERIMENT to train, and shows no past runs")
    with expected_errors():
        loaded = load_experiment(experiment, overrides)
        from training.seed_comparison.run import compare_seeds
        from training.seed_comparison.statistics import Plan

        compare_seeds(Plan(loaded, seeds, against, resplit, confidence), console=Console())


@click.command()
@click.argument("experiment", required=False)
def pareto(experiment: str | None) -> None:
    """Draw quality against cost over past runs: all that was evaluated on the texts of EXPERIMENT's last run."""
    from training.reporting.past_runs import draw_past_runs

    with expected_errors():
        table, picture = draw_past_runs(experiment)
        Console().print(table)
        Console().print(f"Drawn in {picture}", markup=False, highlight=False, soft_wrap=True)
