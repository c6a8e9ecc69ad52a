"""`python -m service`: start the service, and keep its keys.

Examples::

    python -m service serve                                   # http://127.0.0.1:3000
    python -m service keys add shop --scope classify --scope feedback --file keys.json
    python -m service keys list --file keys.json
    python -m service keys revoke shop --file keys.json
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from service import key_file
from service.key_file import SCOPES, KeyFileError, Scope
from service.observability.logs import log_as_json
from service.settings import ServiceSettings
from service.start_checks import (
    CONFIGURATION_ERROR,
    StartRefused,
    check_keys,
    check_var_dir,
    check_workers,
    listen,
)
from service.workers import parent
from service.workers.plan import plan
from stores.settings import private_umask

FILE_HELP = "The key file; by default what API_KEYS_FILE names."


@click.group()
def main() -> None:
    """Start the service, and keep its keys."""
    private_umask()


@main.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, envvar="BENTOML_HOST", help="Address to listen on."
)
@click.option(
    "--port", default=3000, show_default=True, envvar="BENTOML_PORT", help="Port to listen on.", type=int
)
@click.option("--workers", help="Worker processes, or `auto`; by default WORKERS.")
def serve(host: str, port: int, workers: str | None) -> None:
    """Serve the champion over HTTP, in as many processes as WORKERS says.

    Ends with 0 after SIGTERM or Ctrl-C, when what was accepted has been answered; with 130 at once after a second
    Ctrl-C; with 78 where the settings forbid to start.
    """
    # Until the server takes them; a first process of a container ignores a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(128 + signal.SIGINT))
    try:
        check_workers(os.environ.get("BENTOML_API_WORKERS"))
        if workers is not None:
            os.environ["WORKERS"] = workers
        settings = _settings()
        check_keys(settings)
        check_var_dir()
        bound = listen(host, port, settings)
    except StartRefused as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(CONFIGURATION_ERROR)

    from stores.telemetry import turn_telemetry_off

    turn_telemetry_off()
    workers_plan = plan(settings)
    several = f" in {workers_plan.count} processes" if workers_plan.count > 1 else ""
    click.echo(f"Champion on http://{_shown(bound.getsockname())}{several}", err=True)
    if workers_plan.count > 1:
        log_as_json(settings.log_level)
        sys.exit(parent.run(bound, settings, workers_plan))
    from service.server import run  # the engine and what it imports

    sys.exit(run(bound, settings))


@main.group()
def keys() -> None:
    """The keys in API_KEYS_FILE: make, list and revoke them.

    A running service reads the file again within a second or two.
    """


def _file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--file", "path", type=click.Path(path_type=Path, dir_okay=False), help=FILE_HELP)(
        command
    )


@keys.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="What the key may do; repeat it for several. With `others`, feedback and erase reach every prediction.",
)
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="More are refused with 429.")
@click.option("--texts-per-minute", type=click.IntRange(min=1), help="More are refused with 429.")
@_file_option
def add(
    name: str,
    scopes: tuple[Scope, ...],
    requests_per_minute: int | None,
    texts_per_minute: int | None,
    path: Path | None,
) -> None:
    """Make a key called NAME and print it, once: the file keeps its hash only."""
    path = _path(path)
    with _failing():
        key = key_file.add(
            path,
            name,
            scopes,
            requests_per_minute=requests_per_minute,
            texts_per_minute=texts_per_minute,
        )
    click.echo(key)
    click.echo(f"Keep it now: {path} holds only its hash.", err=True)


@keys.command("list")
@_file_option
def show(path: Path | None) -> None:
    """List names, scopes and limits."""
    path = _path(path)
    with _failing():
        records = key_file.read(path)
    rows = [("NAME", "SCOPES", "REQUESTS/MIN", "TEXTS/MIN", "CREATED")]
    rows += [
        (
            record.name,
            ",".join(record.scopes),
            str(record.requests_per_minute or "-"),
            str(record.texts_per_minute or "-"),
            record.created_at.isoformat() if record.created_at else "-",
        )
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(map(str.ljust, row, widths)).rstrip())


@keys.command("revoke")
@click.argument("name")
@_file_option
def revoke(name: str, path: Path | None) -> None:
    """Remove the key called NAME."""
    path = _path(path)
    with _failing():
        key_file.revoke(path, name)
    click.echo(f"{name} is revoked in {path}.", err=True)


@contextmanager
def _failing() -> Iterator[None]:
    """Turns KeyFileError into a message and exit status 1."""
    try:
        yield
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error


def _path(given: Path | None) -> Path:
    if given is not None:
        return given
    try:
        configured = _settings().api_keys_file
    except StartRefused as error:
        raise click.ClickException(str(error)) from error
    if configured is None:
        raise click.UsageError("which file? Give --file, or set API_KEYS_FILE")
    return configured


def _settings() -> ServiceSettings:
    """The settings; errors are printed without values, which may be secrets."""
    try:
        return ServiceSettings()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        what = "; ".join(
            f"{'.'.join(str(part).upper() for part in item['loc'])}: {item['msg']}".removeprefix(": ")
            for item in found
        )
        raise StartRefused(f"the settings are wrong: {what}") from None


def _shown(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
