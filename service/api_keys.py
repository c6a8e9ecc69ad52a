"""API keys: which are accepted, what each may do, and how often.

A key is looked up by its SHA-256 in a dictionary: the same work for a valid and an invalid key. The time of the look-up
depends on the hash of what was sent, which a client cannot choose.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from service import key_file
from service.errors import InvalidContent, NotAuthorised, RateLimited, ScopeMissing
from service.key_file import ENVIRONMENT_PREFIX, KeyFileError, KeyRecord, Scope, digest

Clock = Callable[[], float]

_GUESSES = 20
"""Wrong keys that one address may send in quick succession, and again per minute."""
_ADDRESSES = 4096
"""Addresses that are counted; the least recently seen one is dropped first."""


class TokenBucket:
    """At most `per_minute` at once, and `per_minute` a minute in the long run.

    Args:
        per_minute: capacity, and what is refilled in a minute.
        clock: seconds, monotonic.
    """

    __slots__ = ("_clock", "_left", "_then", "per_minute")

    def __init__(self, per_minute: int, clock: Clock = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._then = clock()

    def wait(self, amount: int = 1) -> float:
        """Seconds until `amount` could be taken; 0: now. Infinite for more than the capacity."""
        if amount > self.per_minute:
            return float("inf")
        self._refill()
        return max(0.0, (amount - self._left) * 60 / self.per_minute)

    def take(self, amount: int = 1) -> float:
        """Take `amount` if it is there, and return 0; else take nothing, and return what `wait` says."""
        wait = self.wait(amount)
        if not wait:
            self._left -= amount
        return wait

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self.per_minute, self._left + (now - self._then) * self.per_minute / 60)
        self._then = now


class FailedKeys:
    """Counts wrong keys by client address; bounded in memory.

    IPv6 addresses are counted by their /64, which belongs to one client.
    """

    def __init__(self, clock: Clock = time.monotonic, *, addresses: int = _ADDRESSES) -> None:
        self._clock = clock
        self._limit = addresses
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, address: str) -> float:
        """Seconds until a key from this address is checked; 0: now."""
        bucket = self._buckets.get(_network(address))
        return bucket.wait() if bucket else 0.0

    def note(self, address: str) -> None:
        """Count a wrong key."""
        network = _network(address)
        bucket = self._buckets.get(network)
        if bucket is None:
            bucket = self._buckets[network] = TokenBucket(_GUESSES, self._clock)
            if len(self._buckets) > self._limit:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(network)
        bucket.take()


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
    return address


logger = logging.getLogger(__name__)

_SCOPES: dict[str, Scope] = {"/classify": "classify", "/feedback": "feedback", "/model": "read"}
"""Probes, metrics and pages are open: orchestrators, Prometheus and browsers come without a key."""
_PREDICTIONS = "/predictions/"
_ALL_BUT_ERASE: frozenset[Scope] = frozenset({"classify", "feedback", "read", "others"})
_MAX_KEY_BYTES = 512
"""Longer values are not hashed."""
_UNGUESSABLE_BYTES = 32
"""A key of API_KEYS with at least this length counts as random."""
_LOOK_SECONDS = 1.0


def scope_of(path: str) -> Scope | None:
    """The scope that a request to `path` needs; None: no key is needed."""
    return "erase" if path.startswith(_PREDICTIONS) else _SCOPES.get(path)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a request.

    Rate limits are counted in this process: each replica has its own.
    """

    name: str | None
    """None: no keys are set."""
    scopes: frozenset[Scope]
    guessable: bool = False
    """Whether a person may have chosen it: it is refused while its address sends too many wrong keys."""
    requests: TokenBucket | None = field(default=None, compare=False)
    texts: TokenBucket | None = field(default=None, compare=False)

    @property
    def owner_filter(self) -> str | None:
        """Name of the key whose predictions it may label or erase; None: all."""
        return None if "others" in self.scopes else self.name

    def take_texts(self, texts: int) -> None:
        """Count texts that are to be classified.

        Raises:
            InvalidContent: more than it may ever have classified in a minute.
            RateLimited: more than are left now.
        """
        if self.texts is None:
            return
        if texts > self.texts.per_minute:
            raise InvalidContent(
                f"text has {texts} texts, and this key may send {self.texts.per_minute} a minute: send fewer",
                code="too_many_texts",
                field="text",
            )
        if wait := self.texts.take(texts):
            raise RateLimited(
                f"this key may have {self.texts.per_minute} texts a minute classified: try again later",
                retry_after=wait,
            )


ANONYMOUS = Key(None, _ALL_BUT_ERASE)
"""A client where no keys are set; it has no scope `erase`."""


class KeyRing:
    """The accepted keys: those of API_KEYS, and those of the file, which is read again when it changes.

    A file that cannot be read, or is wrong, leaves the keys that were read before in force; `problem` says why.

    Args:
        plain: keys of API_KEYS, in clear. They are named env-1, env-2, … and have every scope but `erase`.
        path: the key file, or None.
        requests_per_minute: limit of each key that has none in the file; None: no limit.
        texts_per_minute: likewise.
        clock: seconds, monotonic.
        failed: called for each wrong key.

    Raises:
        KeyFileError: the file cannot be read, or is wrong, at the start.
    """

    def __init__(
        self,
        plain: Sequence[bytes] = (),
        path: Path | None = None,
        *,
        requests_per_minute: int | None = None,
        texts_per_minute: int | None = None,
        clock: Clock = time.monotonic,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._limits = (requests_per_minute, texts_per_minute)
        self._clock = clock
        self._count_failed = failed
        self._failed = FailedKeys(clock)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._content: bytes | None = None
        self._fixed = self._environment_keys(plain)
        self._keys = dict(self._fixed)
        self.required = bool(plain) or path is not None
        """Whether a request needs a key; with a file without keys all requests are refused."""
        self.problem: str | None = None
        """Why the file's newest content is not in force; None: it is."""
        self.loaded_at: float | None = None
        """When the keys in force were read: seconds since the epoch, UTC."""
        self._read()

    def __len__(self) -> int:
        return len(self._keys)

    def start(self) -> None:
        """Look at the file every second."""
        if self._path is not None and self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="keys", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def admit(self, request: Request, scope: Scope) -> Key:
        """The key that a request carries; it is also set as the request's `state.key`.

        Raises:
            NotAuthorised: none, or one that is not accepted.
            ScopeMissing: it does not have the scope.
            RateLimited: it came too often, or too many wrong keys came from the same address.
        """
        key = ANONYMOUS
        if self.required:
            key = self._identified(given_key(request), request.client.host if request.client else "")
        request.state.key, request.state.key_name = key, key.name
        if scope not in key.scopes:
            if key is ANONYMOUS:
                raise NotAuthorised(f"this takes a key with the scope {scope}, and this service has no keys")
            raise ScopeMissing(f"this key does not have the scope {scope}")
        if key.requests is not None and (wait := key.requests.take()):
            raise RateLimited(
                f"this key may send {key.requests.per_minute} requests a minute: try again later",
                retry_after=wait,
            )
        return key

    def reload(self) -> None:
        """Read the file again if it has changed; what is wrong with it is noted in `problem` and logged once."""
        try:
            changed = self._read()
        except KeyFileError as error:
            if self.problem != str(error):
                logger.error(
                    "keys_not_reloaded", extra={"fields": {"reason": str(error), "keys": len(self._keys)}}
                )
            self.problem = str(error)
            return
        if changed or self.problem is not None:
            logger.info("keys_reloaded", extra={"fields": {"keys": len(self._keys)}})
        self.problem = None

    # -- inside ---------------------------------------------------------------------------------------------------

    def _identified(self, given: bytes, address: str) -> Key:
        if not given:
            raise NotAuthorised("a key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        key = self._keys.get(digest(given)) if len(given) <= _MAX_KEY_BYTES else None
        wait = self._failed.wait(address)
        # An unguessable key is accepted meanwhile: else another client of its address could lock it out.
        if key is not None and not (key.guessable and wait):
            return key
        self._count_failed()
        if wait:
            raise RateLimited(
                "too many wrong keys came from this address: try again later",
                code="too_many_failed_keys",
                retry_after=wait,
            )
        self._failed.note(address)
        raise NotAuthorised("this key is not accepted")

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                self.reload()
            except (
                Exception
            ) as error:  # the thread must not end, or a revoked key would stay accepted unnoticed
                logger.exception("keys_not_reloaded")
                self.problem = f"the key file cannot be read: {type(error).__name__}"

    def _read(self) -> bool:
        """Read the file and put its keys in force; whether they changed."""
        if self._path is None:
            return False
        content = key_file.read_bytes(self._path)
        if content == self._content:
            return False
        records = key_file.parse(content)
        self._keys = {**self._fixed, **self._file_keys(records)}
        self._content, self.loaded_at = content, time.time()
        return True

    def _environment_keys(self, plain: Iterable[bytes]) -> dict[bytes, Key]:
        keys: dict[bytes, Key] = {}
        for position, secret in enumerate(plain, start=1):
            requests, texts = (TokenBucket(limit, self._clock) if limit else None for limit in self._limits)
            keys.setdefault(
                digest(secret),
                Key(
                    f"{ENVIRONMENT_PREFIX}{position}",
                    _ALL_BUT_ERASE,
                    guessable=len(secret) < _UNGUESSABLE_BYTES,
                    requests=requests,
                    texts=texts,
                ),
            )
        return keys

    def _file_keys(self, records: Iterable[KeyRecord]) -> dict[bytes, Key]:
        before = {key.name: key for key in self._keys.values()}
        keys = {}
        for record in records:
            old = before.get(record.name)
            keys[bytes.fromhex(record.sha256)] = Key(
                record.name,
                frozenset(record.scopes),
                requests=self._bucket(
                    record.requests_per_minute or self._limits[0], old.requests if old else None
                ),
                texts=self._bucket(record.texts_per_minute or self._limits[1], old.texts if old else None),
            )
        return keys

    def _bucket(self, limit: int | None, old: TokenBucket | None) -> TokenBucket | None:
        """The bucket of a limit: the old one, as full as it is, where the limit has not changed."""
        if limit is None:
            return None
        return old if old is not None and old.per_minute == limit else TokenBucket(limit, self._clock)


def given_key(request: Request) -> bytes:
    """The key that a request carries, as `X-API-Key` or `Authorization: Bearer`; empty if there is none."""
    given = request.headers.get("x-api-key", "")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given = given or token.strip()
    return given.encode("latin-1")  # headers come decoded as Latin-1: these are the bytes that were sent
