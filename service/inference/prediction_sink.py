"""The sink of predictions: the prediction store, or with PREDICTIONS_POLICY=spool a local spool while it is away.

A thread writes a small value to the store periodically, so that readiness follows the store also without traffic, and
replays the spool.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from stores.errors import PredictionStoreError
from stores.predictions import Prediction, PredictionStore
from stores.predictions.connections import Limits
from stores.predictions.redaction import TextForm
from stores.predictions.spool import Spool
from stores.settings import PredictionSettings


class StoreHandle:
    """Opens the prediction store at first use, and again after a failure; thread-safe.

    Calling it returns the open store, or raises PredictionStoreError; the next call tries again.

    Args:
        address: SQLAlchemy URL, or the settings with their time-outs.
    """

    def __init__(self, address: str | PredictionSettings) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._store: PredictionStore | None = None

    def __call__(self) -> PredictionStore:
        """The open store."""
        with self._lock:
            if self._store is None:
                self._store = _opened(self._address)
            return self._store

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


def _opened(address: str | PredictionSettings) -> PredictionStore:
    try:
        limits = None if isinstance(address, str) else Limits.of(address)
        return PredictionStore.open(address, limits)
    except OSError as error:  # the folder of an SQLite file cannot be made or locked
        raise PredictionStoreError(f"the prediction store cannot be opened: {error}") from error


logger = logging.getLogger(__name__)

_PROBE_SECONDS = 5.0
"""Between two probes of a store that answers; a commit counts as a probe."""
_RETRY_SECONDS = 0.5
"""Between two probes of a store that does not, and two looks at the spool."""
_SLOW_SECONDS = 3.0
"""A probe or a commit that takes longer counts as failed until it returns."""
_REPLAYED = 500
"""Rows of the spool in one transaction."""
_ADOPT_SECONDS = 30.0
"""Between two looks for spool files of processes that have ended."""


@dataclass(frozen=True, slots=True)
class SinkState:
    """State of the sink."""

    policy: str
    available: bool
    """Whether the store accepts predictions."""
    problem: str | None
    """Why not, without address or path; None: it does."""
    since: float | None
    """When `available` last changed; seconds since the epoch. None: the store has not been asked yet."""
    spooled_rows: int
    spooled_bytes: int
    oldest_spooled: float | None
    """When the first prediction in the spool was answered; seconds since the epoch."""
    damaged: int
    """Records of the spool that could not be read, or that the store refuses; they are kept in files beside it."""


class PredictionSink:
    """Commits predictions before they are answered. Thread-safe, with one thread that adds.

    Args:
        settings: policy, limits, and in which form texts are kept.
        handle: opens the store.
        replayed: called with the number of spooled rows that were committed.
    """

    def __init__(
        self,
        settings: PredictionSettings,
        handle: StoreHandle,
        *,
        replayed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.policy = settings.predictions_policy
        self._handle = handle
        self._replayed = replayed
        self._form = TextForm(settings.store_text, self._key_of(settings))
        self._spool: Spool | None = None
        if self.policy == "spool":
            self._spool = Spool(settings.folder("spool"), max_bytes=settings.predictions_spool_bytes)
        self._lock = threading.Lock()
        self._available: bool | None = None
        self._since: float | None = None
        self._problem: str | None = None
        self._last_success = float("-inf")
        self._busy: dict[int, float] = {}
        """Thread → `time.monotonic()` since when it waits for the store."""
        self._slow_failure = False
        self._refused = 0
        self._next_adoption = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-store", daemon=True)

    def start(self) -> None:
        """Start the thread that probes and replays."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Stop the thread; the spool is left for the next process."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._spool is not None:
            self._spool.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, rows: Sequence[Prediction]) -> None:
        """Commit rows to the store, or append them to the spool.

        Raises:
            PredictionStoreError: they were not kept.
        """
        rows = [self._form.apply(row) for row in rows]
        spool = self._spool
        if spool is None:
            if self._is_unresponsive():
                raise PredictionStoreError("the prediction store does not answer")
            self._commit(rows)
        elif self._is_behind(spool):
            # Keep the order: earlier predictions are committed first.
            try:
                spool.append(rows)
            except PredictionStoreError:
                if not self._accepts_rows():
                    raise
                self._commit(rows)
        else:
            try:
                self._commit(rows)
            except PredictionStoreError as error:
                logger.warning(
                    "predictions_spooled", extra={"fields": {"rows": len(rows), "reason": str(error)}}
                )
                spool.append(rows)

    def _is_behind(self, spool: Spool) -> bool:
        return bool(spool.rows) or not self._accepts_rows()

    def _commit(self, rows: Sequence[Prediction]) -> None:
        with self._observed():
            self._handle().add(rows)

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether predictions would be kept now."""
        if self._accepts_rows():
            return True
        return self._spool is not None and self._spool.has_room()

    @property
    def is_away(self) -> bool:
        """Whether the store is known not to answer, so that a query would only cost time."""
        return self._is_unresponsive()

    @property
    def spooled_rows(self) -> int:
        """Rows in the spool."""
        return 0 if self._spool is None else self._spool.rows

    def may_hold_unsent(self) -> bool:
        """Whether rows wait in the spool, this process's or another worker's: the store does not have all predictions.

        Raises:
            SpoolUnavailable: the folder of the spool cannot be read.
        """
        return self._spool is not None and (bool(self._spool.rows) or self._spool.others_wait())

    def state(self) -> SinkState:
        """The state for `/model` and the metrics."""
        spool = self._spool.state() if self._spool is not None else None
        available = self._accepts_rows()
        with self._lock:
            problem = None
            if not available:
                problem = self._problem or "the prediction store does not answer"
            return SinkState(
                policy=self.policy,
                available=available,
                problem=problem,
                since=self._since,
                spooled_rows=spool.rows if spool else 0,
                spooled_bytes=spool.bytes if spool else 0,
                oldest_spooled=spool.oldest if spool else None,
                damaged=(spool.damaged if spool else 0) + self._refused,
            )

    def _accepts_rows(self) -> bool:
        with self._lock:
            return self._available is True and not self._hangs()

    def _is_unresponsive(self) -> bool:
        """Whether the store hangs; one that refuses at once is asked again by every request."""
        with self._lock:
            return self._hangs() or (self._available is False and self._slow_failure)

    def _hangs(self) -> bool:
        return any(time.monotonic() - since > _SLOW_SECONDS for since in self._busy.values())

    @contextmanager
    def _observed(self) -> Iterator[None]:
        """Record whether the store answers, and how fast."""
        me, began = threading.get_ident(), time.monotonic()
        with self._lock:
            self._busy[me] = began
        try:
            yield
        except PredictionStoreError as error:
            with self._lock:
                if self._available is not False:
                    self._since = time.time()
                    logger.error("prediction_store_unavailable", extra={"fields": {"reason": str(error)}})
                self._available = False
                self._slow_failure = time.monotonic() - began > _SLOW_SECONDS
                self._problem = (
                    "the prediction store does not answer"
                    if self._slow_failure
                    else "the prediction store refuses"
                )
            raise
        else:
            with self._lock:
                if self._available is not True:
                    self._since = time.time()
                    if self._available is False:
                        logger.info("prediction_store_available")
                self._available, self._problem, self._slow_failure = True, None, False
                self._last_success = time.monotonic()
        finally:
            with self._lock:
                del self._busy[me]

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except PredictionStoreError:
                pass  # noted by `_observed`
            except Exception:
                logger.exception("the thread that probes the prediction store failed; it continues")
            self._stopping.wait(_RETRY_SECONDS)

    def _step(self) -> None:
        if time.monotonic() - self._last_success >= _PROBE_SECONDS or not self._accepts_rows():
            with self._observed():
                self._handle().probe()
        spool = self._spool
        if spool is None:
            return
        if time.monotonic() >= self._next_adoption:
            self._next_adoption = time.monotonic() + _ADOPT_SECONDS
            if adopted := spool.adopt():
                logger.info("spool_adopted", extra={"fields": {"rows": adopted}})
        while not self._stopping.is_set() and (rows := spool.head(_REPLAYED)):
            with self._observed():
                refused = self._handle().add_missing(rows)
            if refused:
                self._refused += len(refused)
                spool.set_aside(refused)
                logger.error("spooled_predictions_refused", extra={"fields": {"rows": len(refused)}})
            spool.drop()
            self._replayed(len(rows) - len(refused))

    def _key_of(self, settings: PredictionSettings) -> Callable[[], str]:
        """The key of text hashes; the one in the store is read once."""
        known: list[str] = []

        def key() -> str:
            if settings.hash_key:
                return settings.hash_key
            if not known:
                known.append(self._handle().hash_key())
            return known[0]

        return key


def open_store(sink: PredictionSink | None, handle: StoreHandle) -> PredictionStore:
    """The open store, for a request that reads or labels predictions.

    Raises:
        PredictionStoreError: it is unavailable; raised at once where it is known not to answer.
    """
    if sink is not None and sink.is_away:
        raise PredictionStoreError("the prediction store does not answer")
    return handle()
