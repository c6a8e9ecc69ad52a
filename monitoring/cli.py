"""The command `python -m monitoring`: which commands there are, and where each stands."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "check": "monitoring.checking",
    "history": "monitoring.history",
    "label": "monitoring.label",
    "prune": "monitoring.prune",
    "queue": "monitoring.queue",
    "schema": "monitoring.checking",
    "watch": "monitoring.checking",
}
"""Name → module that holds the command by that name."""


class _Commands(click.Group):
    """Imports a command when it is named: giving labels need not wait for what judging them imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  as click calls it
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=_Commands)
def main() -> None:
    """Compare what the served model answers with what it was made for."""
