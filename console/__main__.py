"""`champion COMMAND`: the commands of training, service, monitoring and demo, imported when they are named.

Shell completion: `eval "$(_CHAMPION_COMPLETE=bash_source champion)"` (or `zsh_source`, `fish_source`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True, slots=True)
class Target:
    """A command of another package.

    Args:
        module: a module whose `main` is a click command.
        name: the subcommand of `main`; None for `main` itself.
        help: one line for the list of commands, so that listing imports nothing.
    """

    module: str
    name: str | None
    help: str

    def group(self) -> click.Command:
        """The module's `main`."""
        return cast("click.Command", import_module(self.module).main)

    def command(self) -> click.Command:
        """The command itself."""
        main = self.group()
        if self.name is None:
            return main
        found = cast("click.Group", main).get_command(click.Context(main), self.name)
        assert found is not None, f"this is a bug: {self.module} has no command {self.name}"
        return found

    def run(self, args: Sequence[str], prog_name: str) -> Any:
        """Run the command with `args`, as `python -m PACKAGE` does, and end the process with its status."""
        main = self.group()
        if self.name is None:
            return main.main(args=list(args), prog_name=prog_name)
        if type(main).main is not click.Group.main:
            # The group decides about exit statuses, so it runs its command.
            return main.main(args=[self.name, *args], prog_name=prog_name.rpartition(" ")[0])
        if main.callback is not None:
            main.callback()
        return self.command().main(args=list(args), prog_name=prog_name)


COMMANDS = {
    "new": Target(
        "training.commands.cli", "new", "Look at a file of labelled texts and write an experiment for it."
    ),
    "train": Target(
        "training.commands.cli", "run", "Train an experiment's candidates and register the best."
    ),
    "compare": Target(
        "training.commands.cli", "compare", "Compare candidates of past runs, or over several seeds."
    ),
    "evaluate": Target("training.commands.cli", "evaluate", "Evaluate a registered version on other texts."),
    "promote": Target("training.commands.cli", "promote", "Make a version the champion."),
    "rollback": Target("training.commands.cli", "rollback", "Make the previous champion the champion again."),
    "serve": Target("service.cli", "serve", "Serve the champion over HTTP."),
    "keys": Target("service.cli", "keys", "Add, list and revoke API keys."),
    "score": Target("service.batch", None, "Classify the rows of a file."),
    "monitor": Target("monitoring.cli", None, "Compare live traffic with the champion's reference."),
    "label": Target("monitoring.cli", "label", "Give true labels from a file."),
    "demo": Target("demo.__main__", None, "Run the whole circle once on packaged texts."),
}


class Commands(click.Group):
    """A group that imports a command's package when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  as click calls it
        """Names in the order of a model's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command by that name, imported; for completion."""
        return COMMANDS[cmd_name].command() if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, target.help) for name, target in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names without importing every command, which click does to find hidden ones."""
        names = [
            CompletionItem(name, help=target.help)
            for name, target in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, args: Sequence[str] | None = None, *options: Any, **extra: Any) -> Any:
        """Run the command that the first argument names."""
        given = list(sys.argv[1:] if args is None else args)
        if given and given[0] in COMMANDS and "_CHAMPION_COMPLETE" not in os.environ:
            return COMMANDS[given[0]].run(given[1:], f"champion {given[0]}")
        return super().main(given, *options, **extra)


@click.group(cls=Commands)
def main() -> None:
    """Train, serve and monitor text classifiers. `champion COMMAND --help` describes each command."""


if __name__ == "__main__":
    main(prog_name="champion")
