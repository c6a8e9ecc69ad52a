"""What a command does when it cannot: one line on standard error, and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from pydantic import ValidationError

from classifier.errors import BundleError
from monitoring.errors import MonitoringError
from stores.errors import StoreError

CANNOT_RUN = 2
FAILURES = (MonitoringError, StoreError, BundleError, OSError)


@contextmanager
def failures_told(what: str) -> Iterator[None]:
    """Turn the failures that are expected into a message `WHAT could not run: WHY`, and the process's end."""
    try:
        yield
    except ValidationError as error:
        give_up(what, of_settings(error))
    except FAILURES as error:
        give_up(what, str(error))


def give_up(what: str, why: str) -> NoReturn:
    """Say so and exit with CANNOT_RUN."""
    click.echo(f"{what} could not run: {why}", err=True)
    sys.exit(CANNOT_RUN)


def of_settings(error: ValidationError) -> str:
    """The first thing wrong with the settings, by the name that the user knows."""
    first = error.errors()[0]
    name = str(first["loc"][0]).upper() if first["loc"] else "a setting"
    return f"{name} is {first['input']!r}: {first['msg']}"
