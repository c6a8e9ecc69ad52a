"""The commands of `python -m training`."""

from __future__ import annotations

import os

import click

from stores.settings import VarSettings, private_umask
from stores.telemetry import turn_telemetry_off
from training.commands.experiments import data, data_check, explain, list_experiments, schema
from training.commands.originality import originality
from training.commands.results import compare, evaluate, pareto
from training.commands.train import distill, new, run, search
from training.commands.versions import promote, rollback, sign


@click.group()
def main() -> None:
    """Train candidates, compare them, and decide which one serves."""
    turn_telemetry_off()
    private_umask()
    # What the hub's libraries download; they read this when they are imported, which is later.
    os.environ.setdefault("HF_HOME", str(VarSettings().root / "huggingface"))


for command in (
    run,
    new,
    distill,
    pareto,
    search,
    evaluate,
    explain,
    schema,
    list_experiments,
    compare,
    promote,
    sign,
    rollback,
    data,
    data_check,
    originality,
):
    main.add_command(command)
