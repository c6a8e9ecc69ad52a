"""Checks before the service starts: address, keys, number of workers, and the folder of its state in a bento."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

from service import key_file
from service.key_file import KeyFileError
from service.settings import ServiceSettings
from stores.settings import VarSettings

CONFIGURATION_ERROR = 78
"""Exit status of a service that refuses to start (EX_CONFIG of sysexits.h): starting it again does not help."""


class StartRefused(Exception):
    """The service must not start as it is configured; the message is one sentence that says what to change."""


def check_binding(address: str, settings: ServiceSettings) -> None:
    """Whether the service may listen on `address`, an IP address or the path of a Unix socket.

    Raises:
        StartRefused: others than this machine reach it, and neither keys nor ALLOW_ANONYMOUS are set.
    """
    if settings.needs_key or settings.allow_anonymous or is_local(address):
        return
    raise StartRefused(
        f"the service does not listen on {address} without keys: set API_KEYS or API_KEYS_FILE (`python -m service "
        "keys add NAME` makes a key), or set ALLOW_ANONYMOUS=true to answer everybody who reaches that address"
    )


def check_workers(count: object) -> None:
    """Refuse more than one worker process; None: the number was not set.

    Raises:
        StartRefused: more than one.
    """
    if str(count) not in ("None", "", "1"):
        raise StartRefused(
            f"{count} worker processes were asked for (--api-workers, BENTOML_API_WORKERS, workers in BENTOML_CONFIG), "
            "and the service has one there: `python -m service serve --workers` runs several"
        )


def check_keys(settings: ServiceSettings) -> None:
    """Whether the key file can be read.

    Raises:
        StartRefused: it cannot, or is wrong.
    """
    if settings.api_keys_file is None:
        return
    try:
        key_file.read(settings.api_keys_file)
    except KeyFileError as error:
        raise StartRefused(f"API_KEYS_FILE={settings.api_keys_file}: {error}") from error


def is_local(address: str) -> bool:
    """Whether only this machine reaches an IP address; Unix sockets and other names that are no address are local."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def listen(host: str, port: int, settings: ServiceSettings) -> socket.socket:
    """A socket that is bound to `host`, a name or an address, and `port`.

    Raises:
        StartRefused: as `check_binding`; or the address is not of this machine, or taken.
    """
    where = f"{host}:{port}"
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = resolved[0]
    except OSError as error:
        raise StartRefused(f"the service cannot listen on {where}: {error.strerror}") from error
    # What the name means is checked, not the name.
    check_binding(str(address[0]), settings)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise StartRefused(f"the service cannot listen on {where}: {error.strerror}") from error
    return bound


_SOURCE = Path(__file__).resolve().parents[1]
_WORKING_DIR = "CHAMPION_WORKING_DIR"
"""Tells the worker where `bentoml serve` was started: BentoML changes to the bento's source folder."""


def bento_folder() -> Path | None:
    """The bento that this code belongs to; None: it runs from a checkout or an image."""
    folder = _SOURCE.parent
    return folder if _SOURCE.name == "src" and (folder / "bento.yaml").is_file() else None


def check_var_dir() -> None:
    """Whether VAR_DIR is outside the bento.

    Raises:
        StartRefused: state would be written into the bento's folder, which may be read-only, shared, or replaced.
    """
    folder, var_dir = bento_folder(), VarSettings().var_dir
    if folder is not None and _inside(var_dir, folder):
        raise StartRefused(
            f"VAR_DIR={var_dir} is inside the bento {folder}, which holds no state: set it to a folder elsewhere"
        )


def worker_environment() -> dict[str, str]:
    """What BentoML's worker needs to know of where it was started; called in the supervisor.

    Relative paths and `.env` mean the folder in which `bentoml serve` was started, as they do for a checkout. In a
    container of a bento, that folder is the bento itself: state is then kept in `var` under BENTOML_HOME.

    Raises:
        StartRefused: VAR_DIR is set to a folder inside the bento.
    """
    folder = bento_folder()
    if folder is None:
        return {}
    environment = {_WORKING_DIR: str(Path.cwd())}
    settings = VarSettings()
    if "var_dir" not in settings.model_fields_set and _inside(settings.var_dir, folder):
        environment["VAR_DIR"] = str(Path(os.environ.get("BENTOML_HOME", Path.home() / "bentoml")) / "var")
    else:
        check_var_dir()
    return environment


def enter_working_dir() -> None:
    """Change to the folder that `worker_environment` names, if it does; called in the worker."""
    if folder := os.environ.get(_WORKING_DIR):
        os.chdir(folder)


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
