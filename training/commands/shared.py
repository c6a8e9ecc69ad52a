"""What commands of `python -m training` share: options, and the printing of expected errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.markup import escape

from classifier.errors import ClassifierError
from stores.errors import StoreError
from training.data import DataError
from training.errors import TrainingError

SET_OPTION = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override one key of the experiment, dotted: --set candidates.minilm.epochs=1. Repeatable.",
)  # fmt: skip
SMOKE_OPTION = click.option(
    "--smoke", is_flag=True,
    help="A small size on packaged text and weights, with no network; registered under a separate name.",
)  # fmt: skip
EXPERIMENT_ARGUMENT = click.argument("experiment", default="quickstart")


@contextmanager
def expected_errors() -> Iterator[None]:
    """Print an expected error as one sentence and exit with status 2; other errors keep their traceback."""
    try:
        yield
    except (TrainingError, DataError, StoreError, ClassifierError, OSError) as error:
        message = escape(str(error))  # it may name labels such as "[a]"
        Console(stderr=True).print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
        sys.exit(2)
