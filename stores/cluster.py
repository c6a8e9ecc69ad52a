"""Ray: a cluster that is there, or one on this machine for as long as a piece of work takes. Extra `cluster`.

Usage::

    with ray_cluster(ClusterSettings().ray_address, workers=4) as cluster:
        worker = cluster.ray.remote(Worker).options(num_cpus=1).remote()
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from stores.errors import ClusterUnavailable
from stores.telemetry import turn_telemetry_off

_STORE_BYTES = 256 * 2**20
"""Memory of a local Ray for what is passed between processes; more goes to the disk."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 8.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""What an HTTP/2 client sends first (RFC 9113, 3.4): the preface and an empty SETTINGS frame."""
_FRAME_HEADER_BYTES, _SETTINGS_TYPE = 9, 4


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is connected to."""

    ray: Any
    """The module."""
    workers: int
    """Number of one-processor processes that the cluster has room for, or that were requested."""
    local: bool
    """Whether it lives on this machine alone, for this process alone."""


@contextmanager
def ray_cluster(address: str | None, workers: int | None = None) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, or start one on this machine; it is left, or has ended, when the block has.

    A local one listens on the loopback interface only, asks for a token that only this process and its children
    know, and keeps its files in a temporary folder, which is removed.

    Args:
        address: as RAY_ADDRESS; None or `local` starts one.
        workers: processes that are wanted; None: one for each processor.

    Raises:
        ClusterUnavailable: Ray is not installed or does not answer, or the cluster has fewer processors.
    """
    local = is_local(address)
    ray = check_ray(address)
    # Ray's files hold sockets, whose paths must be short: under VAR_DIR they might not be.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        options: dict[str, Any] = {
            "include_dashboard": False,
            "num_cpus": workers,
            "object_store_memory": _STORE_BYTES,
            "_temp_dir": folder,
        }
        try:
            ray.init(
                "local" if local else address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(options if local else {}),
            )
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            where = "on this machine" if local else f"at {address}"
            raise ClusterUnavailable(f"Ray {where} does not answer: {_first_line(error)}") from None
        try:
            room = int(ray.cluster_resources().get("CPU", 0))
            if (wanted := workers or room) > room or not wanted:
                raise ClusterUnavailable(
                    f"{wanted} workers were asked for, and the cluster has {room} processors: ask for fewer"
                )
            yield Cluster(ray, wanted, local)
        finally:
            ray.shutdown()


def is_local(address: str | None) -> bool:
    """Whether `address` means a Ray that is started on this machine, for one piece of work."""
    return address in (None, "", "local")


def check_ray(address: str | None) -> Any:
    """The module, if it is installed and something listens at `address`; cheap, so call it before other work.

    A Ray that has stopped accepts connections all the same (its kernel does), and Ray's own client waits for it for
    minutes. So it must begin to speak HTTP/2, on which its protocol runs, within a few seconds.

    Raises:
        ClusterUnavailable: it is not installed, nothing listens, or what listens does not answer.
    """
    turn_telemetry_off()
    if is_local(address):
        _keep_to_this_machine()
    if find_spec("ray") is None:
        raise ClusterUnavailable("Ray is not installed: install the extra, pip install 'champion[cluster]'")
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit():
        _check_answers(host.strip("[]"), int(port), str(address))
    import ray  # it takes seconds, and reads its token from the environment once

    return ray


def _check_answers(host: str, port: int, address: str) -> None:
    try:
        connection = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
    except OSError as error:
        raise ClusterUnavailable(
            f"no Ray listens at {address} ({error}): look at --ray-address and RAY_ADDRESS, "
            "or start one there by `ray start --head`"
        ) from None
    with connection:
        deadline, answer = time.monotonic() + _ANSWER_SECONDS, b""
        try:
            connection.sendall(_PREFACE)
            while len(answer) < _FRAME_HEADER_BYTES:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                piece = connection.recv(_FRAME_HEADER_BYTES - len(answer))
                if not piece:
                    break
                answer += piece
        except OSError:  # a time-out, too
            pass
    if len(answer) < _FRAME_HEADER_BYTES or answer[3] != _SETTINGS_TYPE:
        raise ClusterUnavailable(
            f"what listens at {address} does not answer as Ray does: look at the head node (`ray status` there), "
            "and at --ray-address and RAY_ADDRESS"
        )


def _keep_to_this_machine() -> None:
    """Switches of a local Ray, which it and its processes read from the environment."""
    # The name is historical: 0 means one machine and the loopback interface, on any system. Read at the import.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    # Without one of ours Ray keeps a token in the user's home.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
