"""Following the champion: a newly promoted version is fetched, verified, warmed and swapped in while requests run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from classifier import BundleDamaged, BundleIncomplete, Classifier, ClassifierError
from classifier.batches import DEFAULT_BATCH_TOKENS
from classifier.device import Device
from classifier.golden import read_golden
from classifier.precision import Chosen, Precision, load_fastest
from service.jobs import ServedModel
from service.sources import Wanted, source_of
from stores.errors import ModelNotRegistered, RegistryUnavailable, StoreError
from stores.settings import SigningSettings, TrackingSettings

logger = logging.getLogger(__name__)

_SEE_LOG = "the newest version cannot be served; the log and /model say why"
_LONGEST_WAIT = 300.0
"""Seconds after which a version that could not be loaded is tried again at the latest."""


@dataclass(frozen=True, slots=True)
class Following:
    """How the following goes, for `/model` and people."""

    source: str
    """What is followed: `models:/news@champion`, a pinned version, or a folder."""
    last_poll: float | None = None
    """When the registry last answered; seconds since the epoch."""
    problem: str | None = None
    """Why the newest poll or swap failed; None when it did not."""
    problem_at: float | None = None
    advice: str | None = None
    """The same in words for clients, who need not know addresses and paths."""


class ChampionFollower:
    """Keeps `served` at the version that should be served.

    A version is swapped in only after it was fetched, verified (hashes, and the signature with MODEL_SIGNING_KEY),
    golden-checked and warmed. One that fails leaves the old one in place, and is tried again after a growing pause.
    When MLflow does not answer at the start, the last known champion is served from the local cache.

    Args:
        tracking: which registry and model; MODEL_URI pins a version, an alias or a folder.
        signing: the key that bundles must be signed with, if any.
        poll_seconds: pause between two looks at the registry.
        threads: threads of one inference; None takes every core.
        precision: which of a bundle's files runs, where it holds float32 and int8.
        device: where a network computes; one that is not there is a problem that `following` tells.
        batch_tokens: size of the batch that warms a model up.
        on_swap: told of each model that is swapped in.
        on_failure: told of each poll or swap that failed.
    """

    _what = "champion"

    def __init__(
        self,
        tracking: TrackingSettings,
        signing: SigningSettings,
        *,
        poll_seconds: float,
        threads: int | None = None,
        precision: Precision = "auto",
        device: Device = "auto",
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        on_swap: Callable[[ServedModel], None] = lambda _: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._key = signing.key
        self._poll_seconds = poll_seconds
        self._threads = threads
        self._precision: Precision = precision
        self._device: Device = device
        self._batch_tokens = batch_tokens
        self._on_swap = on_swap
        self._on_failure = on_failure
        self._source = source_of(tracking)
        self._rejected: tuple[str, int, float] | None = None  # model id, failures, when to try again
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{self._what}-follower", daemon=True)
        self.served: ServedModel | None = None
        """The model that answers now; None until the first one is ready."""
        self.following = Following(self._source.address)

    def start(self) -> None:
        """Start following, in a thread of its own; the first look is at once."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Stop following; waits at most `timeout` seconds for a load that is going on."""
        self._stopping.set()
        self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread still follows."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.poll()
            except Exception as error:  # a follower that dies would leave an old champion in place unnoticed
                logger.exception(f"{self._what}_poll_failed")
                self._note_problem(f"unexpected {type(error).__name__}: {error}")
            self._stopping.wait(self._poll_seconds)

    def poll(self) -> None:
        """Look once, and swap if there is something new."""
        try:
            wanted = self._source.wanted()
        except StoreError as error:
            self._not_told(error)
            return
        self.following = replace(self.following, last_poll=time.time())
        if self.served is not None and wanted.model_id == self.served.model_id:
            if wanted.tags != self.served.tags:  # metrics may be added after a version was promoted
                self.served = replace(self.served, tags=wanted.tags)
            self._rejected = None
            self._note_no_problem()
            return
        if self._is_rejected(wanted):
            return
        try:
            model = self._loaded(wanted)
        except (StoreError, ClassifierError, OSError) as error:
            self._reject(wanted)
            kept = f"; version {self.served.version} keeps answering" if self.served else ""
            self._note_problem(f"{wanted.name} version {wanted.version} cannot be served: {error}{kept}")
            return
        self._rejected = None
        self._note_no_problem()
        self._swap_in(model)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _not_told(self, error: StoreError) -> None:
        """The registry does not say what to serve."""
        self._note_problem(str(error), advice=_advice(error))
        if self.served is None and isinstance(error, RegistryUnavailable):
            self._serve_last_known(str(error))

    def _serve_last_known(self, reason: str) -> None:
        """Rather than nothing, serve what the registry said last; the next poll asks it again."""
        known = self._source.last_known()
        if known is None:
            return
        logger.warning("registry_away", extra={"fields": {"serving": known.version, "reason": reason}})
        try:
            self._swap_in(self._loaded(known))
        except (StoreError, ClassifierError, OSError) as error:
            self._note_problem(f"{reason}; and the last known champion cannot be served: {error}")

    def _loaded(self, wanted: Wanted) -> ServedModel:
        try:
            chosen = self._opened(wanted)
        except (BundleDamaged, BundleIncomplete) as error:
            # The copy in the local cache may be at fault, and the registry's whole.
            if not self._source.forget(wanted):
                raise
            logger.warning("bundle_fetched_again", extra={"fields": {"reason": str(error)}})
            chosen = self._opened(wanted)
        logger.info(
            f"{self._what}_loaded",
            extra={
                "fields": {
                    "runs": chosen.reason,
                    "device": chosen.classifier.device,
                    "batch_milliseconds": chosen.milliseconds,
                }
            },
        )
        _warm_up(chosen.classifier, self._batch_tokens)
        return ServedModel(
            chosen.classifier, wanted.name, wanted.version, wanted.alias, wanted.model_id, dict(wanted.tags),
            runs=chosen.reason,
        )  # fmt: skip

    def _opened(self, wanted: Wanted) -> Chosen:
        return load_fastest(
            self._source.fetch(wanted),
            signing_key=self._key,
            threads=self._threads,
            precision=self._precision,
            device=self._device,
            batch_tokens=self._batch_tokens,
        )

    def _swap_in(self, model: ServedModel) -> None:
        previous, self.served = self.served, model
        self._on_swap(model)
        fields = {
            "model": model.name,
            "version": model.version,
            "alias": model.alias,
            "previous": previous.version if previous else None,
        }
        logger.info(f"{self._what}_swapped", extra={"fields": fields})

    def _is_rejected(self, wanted: Wanted) -> bool:
        return (
            self._rejected is not None
            and self._rejected[0] == wanted.model_id
            and time.monotonic() < self._rejected[2]
        )

    def _reject(self, wanted: Wanted) -> None:
        failures = self._rejected[1] + 1 if self._rejected and self._rejected[0] == wanted.model_id else 1
        pause = min(_LONGEST_WAIT, self._poll_seconds * 2**failures)
        self._rejected = (wanted.model_id, failures, time.monotonic() + pause)

    def _note_problem(self, problem: str, *, advice: str = _SEE_LOG) -> None:
        if problem != self.following.problem:  # once, not at every poll
            logger.error(f"{self._what}_not_followed", extra={"fields": {"reason": problem}})
        self.following = replace(self.following, problem=problem, problem_at=time.time(), advice=advice)
        self._on_failure()

    def _note_no_problem(self) -> None:
        if self.following.problem is not None:
            self.following = replace(self.following, problem=None, problem_at=None, advice=None)


def _advice(error: StoreError) -> str:
    if isinstance(error, ModelNotRegistered):
        return str(error)  # names the model and what to do
    return "the model registry does not answer; the log and /model say why"


def _warm_up(classifier: Classifier, batch_tokens: int) -> None:
    """Run one text and one full batch, so that the first request does not pay for first allocations."""
    texts, _, _ = read_golden(classifier.folder)
    encoded = classifier.encode(texts[:1])
    classifier.infer(encoded)
    fitting = max(1, min(64, batch_tokens // encoded[0].cost))
    for alone in (True, False):
        classifier.infer(encoded * fitting, alone=alone)
