"""The command `python -m monitoring`: its commands and their modules."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import click

from monitoring.commands.failures import Commands
from monitoring.progress import progress
from stores.settings import private_umask

_COMMANDS = {
    "accept": "monitoring.commands.accept",
    "check": "monitoring.commands.check",
    "erase": "monitoring.commands.prune",
    "history": "monitoring.commands.history",
    "label": "monitoring.commands.label",
    "prune": "monitoring.commands.prune",
    "queue": "monitoring.commands.queue",
    "schema": "monitoring.commands.check",
    "watch": "monitoring.commands.check",
}
"""Name → module that holds the command by that name."""
_OBJECTS = 50_000
"""New objects after which the garbage collector searches them for cycles."""


class _LazyCommands(Commands):
    """Imports a command when it is named: `label` does not wait for the imports of `check`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  as click calls it
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        with progress("Loading"), _without_collections():
            command: click.Command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name)
        return command


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the garbage collector from searching thousands of new modules for cycles: a sixth of the time of imports.

    Afterwards it begins after as many new objects as a check makes, not after 700: few of them are in cycles.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_OBJECTS)
        gc.enable()


@click.group(cls=_LazyCommands)
def main() -> None:
    """Compare the predictions of the served model with its reference."""
    private_umask()
