"""BentoML's supervisor (`bentoml serve`), made safe: who reaches it, what it listens on, how many workers it has.

BentoML 1.4 gives circus, its process manager, two TCP ports on 127.0.0.1, through which any local process, of any user,
can run commands as the service's user. There is no setting for them, so the function that chooses them is replaced:
they become Unix sockets in a folder of mode 0700. The version of BentoML is pinned, and tests hold what is relied on.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from typing import Any

import click
from bentoml.exceptions import BentoMLConfigException

from service.settings import ServiceSettings
from service.start_checks import StartRefused, check_binding, check_keys, check_workers, worker_environment

_WORKER = "_bentoml_impl.worker.service"
_LOOK_SECONDS = 1.0
"""How often circus looks whether the worker lives; BentoML's 10 s delay the restart of a dead one by up to that."""
_PR_SET_PDEATHSIG = 1


def in_worker() -> bool:
    """Whether this process is a worker that BentoML's supervisor started."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == _WORKER


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, however it dies (Linux)."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew
        os.kill(os.getpid(), signal.SIGTERM)


def make_supervisor_safe() -> None:
    """Have every supervisor that this process starts pass the checks, and listen on Unix sockets only."""
    from bentoml._internal.utils import circus

    if getattr(circus.create_standalone_arbiter, "__module__", None) != __name__:
        circus.create_standalone_arbiter = _create_arbiter


def _create_arbiter(watchers: list[Any], *, threaded: bool = False, **options: Any) -> Any:
    """As BentoML's function of this name, which `serve_http` calls before it binds anything.

    Raises:
        BentoMLConfigException: the service must not start like this; BentoML's command prints it and exits with 1.
    """
    from bentoml._internal.utils import circus

    try:
        _check(watchers, options.get("sockets", []))
        environment = worker_environment()
    except StartRefused as error:
        raise BentoMLConfigException(str(error)) from error
    for watcher in watchers:
        watcher.env = {**(watcher.env or {}), **environment}
    options.setdefault("check_delay", _LOOK_SECONDS)
    folder = tempfile.mkdtemp(prefix="champion-supervisor-")  # mode 0700
    kind = circus.ThreadedArbiter if threaded else circus.Arbiter
    arbiter = kind(
        watchers, endpoint=f"ipc://{folder}/control", pubsub_endpoint=f"ipc://{folder}/events", **options
    )
    arbiter.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return arbiter


def _check(watchers: list[Any], sockets: list[Any]) -> None:
    from bentoml._internal.configuration.containers import BentoMLContainer

    command = click.get_current_context(silent=True)
    if command is not None:
        check_workers(command.params.get("api_workers"))
    # BentoML ignores these two for a service that sets its own number.
    configured = BentoMLContainer.config.get()
    for section in ("api_server", "services"):
        check_workers(configured.get(section, {}).get("workers"))
    for watcher in watchers:
        check_workers(watcher.numprocesses)
    settings = ServiceSettings()
    check_keys(settings)
    for socket in sockets:
        if socket.path is None:
            check_binding(socket.host, settings)
