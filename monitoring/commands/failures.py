"""Exit statuses: 0 and 1 are a verdict's; any failure is 2 and one line on standard error.

`Commands` is the entry point of every command and catches all that they raise, so that no crash can be taken for a
breach. Tracebacks go to `var/monitoring/errors.log`, and to standard error with LOG_LEVEL=DEBUG.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError
from pydantic import ValidationError

from classifier.errors import ClassifierError
from monitoring.errors import BadLabels, MonitoringError
from monitoring.times import iso
from stores.errors import StoreError
from stores.settings import VarSettings

CANNOT_RUN, INTERRUPTED = 2, 130
FAILURES = (MonitoringError, StoreError, ClassifierError, OSError)
"""Expected failures, whose message is meant for the user; anything else is a fault of this program."""
ERROR_LOG = "errors.log"
_LARGEST_LOG = 1_000_000
_LONGEST_LINE = 2000
_CREDENTIALS = re.compile(r"://[^/\s]*@")


class _LogSettings(VarSettings):
    log_level: str = "INFO"


class Commands(click.Group):
    """A group of commands that exits with 0 or 1 only where a command says so."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and end the process with its status."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        given = list(sys.argv[1:] if args is None else args)
        known = self.list_commands(click.Context(self))
        what = " ".join(["monitoring", *(name for name in given[:1] if name in known)])
        try:
            status = _status(super().main(args, prog_name, complete_var, False, **extra))
            sys.stdout.flush()
        except SystemExit as end:
            # A library's sys.exit() is no verdict, and neither is click's own 1 for a broken pipe.
            status = end.code if isinstance(end.code, int) and end.code > 1 else CANNOT_RUN
        except click.Abort:
            _say(f"{what}: interrupted")
            status = INTERRUPTED
        except NoArgsIsHelpError as error:
            with suppress(OSError):
                error.show()
            status = CANNOT_RUN
        except click.ClickException as error:
            _say(f"{what}: {_one_line(error.format_message())} See `python -m {what} --help`")
            status = CANNOT_RUN
        except Exception as error:
            _say(f"{what} could not run: {failure_reason(error)}{save_traceback(error)}")
            status = CANNOT_RUN
        gc.freeze()  # else the interpreter searches all that is left for cycles before it ends: a quarter of a second
        sys.exit(_after_flushing(status))


@contextmanager
def exit_on_failure(what: str) -> Iterator[None]:
    """Turn expected failures into a message `WHAT could not run: WHY`, and the end of the process with CANNOT_RUN."""
    try:
        yield
    except (*FAILURES, ValidationError) as error:
        if not _is_expected(error):
            raise
        exit_with_failure(what, failure_reason(error))


def exit_with_failure(what: str, why: str) -> NoReturn:
    """Print the reason and exit with CANNOT_RUN."""
    _say(f"{what} could not run: {why}")
    sys.exit(CANNOT_RUN)


def failure_reason(error: BaseException) -> str:
    """Why something failed: on one line, except for a list of wrong rows; without credentials of addresses."""
    if isinstance(error, BadLabels):
        return str(error)
    if isinstance(error, ValidationError) and _is_expected(error):
        why = settings_error(error)
    elif isinstance(error, MemoryError):
        why = "it ran out of memory: give it more, or lower MONITORING_MAX_TEXTS"
    elif _is_expected(error):
        why = str(error)
    else:
        why = f"{type(error).__name__}: {error}"
    return _CREDENTIALS.sub("://", _one_line(why))


def settings_error(error: ValidationError) -> str:
    """The first thing wrong with the settings, by the name that the user knows."""
    first = error.errors()[0]
    name = str(first["loc"][0]).upper() if first["loc"] else "a setting"
    return f"{name} is {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"


def save_traceback(error: BaseException) -> str:
    """Keep the traceback of an unexpected failure; a clause that says where it is, empty for an expected failure.

    It goes to standard error with LOG_LEVEL=DEBUG, else to the end of `var/monitoring/errors.log`, of which one older
    part of 1 MB is kept.
    """
    if _is_expected(error):
        return ""
    text = _CREDENTIALS.sub("://", "".join(traceback.format_exception(error)))
    try:
        settings = _LogSettings()
        if settings.log_level.upper() == "DEBUG":
            _say(text.rstrip("\n"))
            return ""
        return f" (traceback: {_append(settings.folder('monitoring') / ERROR_LOG, text)})"
    except (OSError, ValidationError):
        return " (LOG_LEVEL=DEBUG shows the traceback)"


def _append(path: Path, text: str) -> Path:
    if path.exists() and path.stat().st_size > _LARGEST_LOG:
        path.replace(path.with_suffix(".log.1"))
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{iso(time.time())} pid {os.getpid()}\n{text}\n")
    return path


def _is_expected(error: BaseException) -> bool:
    if isinstance(error, ValidationError):
        return error.title.endswith("Settings")  # another model's would be a fault of this program
    return isinstance(error, FAILURES)


def _status(returned: object) -> int:
    """Of click's result: the status that `Context.exit` was called with, or 0 after a command's plain return."""
    return returned if isinstance(returned, int) else 0


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " …"


def _say(line: str) -> None:
    with suppress(OSError, ValueError):  # the reader has closed the stream
        click.echo(line.encode(errors="backslashreplace").decode(), err=True)


def _after_flushing(status: int) -> int:
    """The status, after what the interpreter would flush at its end, where a failure makes it exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status if status > 1 else CANNOT_RUN
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
    return status
