"""The file of API keys (`API_KEYS_FILE`): its format, reading it, and changing it.

The file is one JSON object. It holds a hash of each key, never the key itself::

    {
      "version": 1,
      "keys": [
        {
          "name": "shop",
          "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
          "scopes": ["classify", "feedback"],
          "created_at": "2026-01-31T12:00:00+00:00",
          "requests_per_minute": 600,
          "texts_per_minute": null
        }
      ]
    }

`sha256` is the SHA-256 of the key's bytes, in hexadecimal. A slow password hash would add nothing: it makes each guess
expensive where there are few possible passwords, and a key has 256 random bits, which cannot be searched at any speed.
It would cost the service milliseconds of processor time per request instead, or a cache of keys in clear.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

Scope = Literal["classify", "feedback", "read", "erase", "others"]
SCOPES: tuple[Scope, ...] = ("classify", "feedback", "read", "erase", "others")
"""`classify`: POST /classify. `feedback`: POST /feedback. `read`: GET /model. `erase`: DELETE /predictions/{id}.
`others`: feedback and erase also reach predictions that were made with other keys, or without one."""

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ENVIRONMENT_PREFIX = "env-"
"""Names of the keys in API_KEYS begin with it; no key of a file may have such a name."""

_MAX_BYTES = 1024 * 1024
_KEY_PREFIX = "champion_"
"""Lets people and secret scanners recognise a key."""
_KEY_BYTES = 32

Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]


class KeyFileError(Exception):
    """The key file cannot be read, or does not have the documented format. The message names no key and no hash."""


class KeyRecord(BaseModel):
    """One key of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    """Appears in log lines and in stored predictions."""
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...] = Field(min_length=1)
    created_at: datetime | None = None
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Null: KEY_REQUESTS_PER_MINUTE."""
    texts_per_minute: int | None = Field(default=None, ge=1)
    """Null: KEY_TEXTS_PER_MINUTE."""

    @model_validator(mode="after")
    def _name_is_not_reserved(self) -> KeyRecord:
        if self.name.startswith(ENVIRONMENT_PREFIX):
            raise ValueError(f"names that begin with {ENVIRONMENT_PREFIX} belong to the keys in API_KEYS")
        return self


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    keys: list[KeyRecord]

    @model_validator(mode="after")
    def _keys_differ(self) -> _Content:
        for field in ("name", "sha256"):
            seen: set[str] = set()
            for position, key in enumerate(self.keys):
                value = getattr(key, field)
                if value in seen:
                    raise ValueError(f"keys[{position}].{field} occurs twice")
                seen.add(value)
        return self


def digest(key: bytes) -> bytes:
    """What the file keeps of a key: its SHA-256."""
    return hashlib.sha256(key).digest()


def read_bytes(path: Path) -> bytes:
    """The file's content.

    Raises:
        KeyFileError: it is not there, not readable, not a regular file, or larger than 1 MiB.
    """
    try:
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise KeyFileError("the key file is not a regular file")
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"the key file cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise KeyFileError(f"the key file is larger than {_MAX_BYTES} bytes")
    return content


def parse(content: bytes) -> list[KeyRecord]:
    """The keys of a file's content.

    Raises:
        KeyFileError: it does not have the format above; the message says where.
    """
    try:
        raw = json.loads(content, object_pairs_hook=_object)
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise KeyFileError(f"the key file is not JSON{where}") from None
    try:
        return _Content.model_validate(raw).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise KeyFileError(
            f"the key file is wrong{' at ' + where.lstrip('.') if where else ''}: {first['msg']}"
        ) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise KeyFileError("the key file has the same name twice in one object")
    return content


def read(path: Path) -> list[KeyRecord]:
    """The keys of the file. KeyFileError as `read_bytes` and `parse` raise it."""
    return parse(read_bytes(path))


def add(
    path: Path,
    name: str,
    scopes: Sequence[Scope],
    *,
    requests_per_minute: int | None = None,
    texts_per_minute: int | None = None,
) -> str:
    """Make a key, append its hash to the file, and return the key, which is stored nowhere.

    A file that does not exist is created, readable by its owner only.

    Raises:
        KeyFileError: there is a key of this name, or an argument is not valid; the file is as before.
    """
    key = _KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    try:
        record = KeyRecord(
            name=name,
            sha256=digest(key.encode()).hex(),
            scopes=tuple(dict.fromkeys(scopes)),
            created_at=datetime.now(UTC).replace(microsecond=0),
            requests_per_minute=requests_per_minute,
            texts_per_minute=texts_per_minute,
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        raise KeyFileError(f"{'.'.join(map(str, first['loc'])) or 'the key'}: {first['msg']}") from None

    def appended(keys: list[KeyRecord]) -> list[KeyRecord]:
        if any(other.name == name for other in keys):
            raise KeyFileError(f"there is a key named {name} already: revoke it, or choose another name")
        return [*keys, record]

    _change(path, appended, create=True)
    return key


def revoke(path: Path, name: str) -> None:
    """Remove the key of this name.

    Raises:
        KeyFileError: there is none; the file is as before.
    """

    def without(keys: list[KeyRecord]) -> list[KeyRecord]:
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            raise KeyFileError(f"there is no key named {name}")
        return left

    _change(path, without, create=False)


def _change(path: Path, change: Callable[[list[KeyRecord]], list[KeyRecord]], *, create: bool) -> None:
    """Replace the file by a changed one at once: a service that reads it sees the old keys or the new ones."""
    try:
        path = path.resolve()  # a symbolic link stays, its target is replaced
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock"), mode=0o600):
            exists = path.exists()
            keys = change(read(path) if exists or not create else [])
            content = (_Content(version=1, keys=keys).model_dump_json(indent=2) + "\n").encode()
            if len(content) > _MAX_BYTES:
                raise KeyFileError(f"the key file would be larger than {_MAX_BYTES} bytes: revoke keys first")
            _replace(path, content, path.stat() if exists else None)
    except OSError as error:
        raise KeyFileError(f"the key file cannot be written: {error.strerror}") from error


def _replace(path: Path, content: bytes, old: os.stat_result | None) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            if old is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
                with suppress(PermissionError):  # only root may give a file to the service's user
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
