"""Commands on experiment files and their data: `list`, `explain`, `schema`, `data` and `data-check`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.commands.shared import EXPERIMENT_ARGUMENT, SET_OPTION, SMOKE_OPTION, expected_errors
from training.data import load_data, split_data
from training.experiment.loader import experiment_files, load_experiment


@click.command("list")
def list_experiments() -> None:
    """Show the experiments that come with the project."""
    table = Table(title="Experiments", title_justify="left", show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column("description")
    with expected_errors():
        for file in experiment_files():
            found = load_experiment(file.stem)
            candidates = ", ".join(found.candidates) + (", and a search" if found.search else "")
            # Below one another: side by side, nothing is readable within 80 columns.
            table.add_row(
                found.name, f"{escape(found.description)}\n{escape(found.data.source)}: [dim]{candidates}[/]"
            )
    Console().print(table)


@click.command()
@click.argument("key", default="")
def explain(key: str) -> None:
    """Say what KEY of an experiment file means, such as `candidates.minilm.epochs`; without it, every top key."""
    from training.experiment.explain import explain as explained

    with expected_errors():
        table = Table()
        for heading in ("key", "default", "meaning"):
            table.add_column(heading, overflow="fold")
        for item in explained(key):
            kinds = f"[dim]of {', '.join(item.kinds)}:[/] " if item.kinds else ""
            table.add_row(item.key, item.default, kinds + escape(item.meaning))
        Console().print(table)


@click.command()
def schema() -> None:
    """Print the JSON schema of experiment files, for editors; it is training/experiment.schema.json."""
    from training.experiment.explain import experiment_schema

    click.echo(experiment_schema(), nl=False)


@click.command()
@EXPERIMENT_ARGUMENT
@SET_OPTION
@SMOKE_OPTION
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
    with expected_errors():
        loaded = load_experiment(experiment, overrides, smoke=smoke)
        splits = split_data(load_data(loaded.data, loaded.seed), loaded.data, loaded.seed)
        chosen = splits.parts()[part]
        chosen.write_jsonl(out)
        Console().print(f"{len(chosen)} texts of {part} in {out}", highlight=False, soft_wrap=True)


@click.command("data-check")
@EXPERIMENT_ARGUMENT
@SET_OPTION
def data_check(experiment: str, overrides: tuple[str, ...]) -> None:
    """Look for faults in EXPERIMENT's data: leaks, copies, labels that conflict, languages and more.

    Exit status 2: a finding of severity `error`, or the data cannot be read.
    """
    from training.runs.preflight import check_experiment

    with expected_errors():
        findings, page = check_experiment(load_experiment(experiment, overrides))
        Console().print(findings)
        Console().print(f"Pictures and examples: {page}", markup=False, highlight=False, soft_wrap=True)
        findings.stop_if_grave()
