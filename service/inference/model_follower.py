"""The follower of the champion: fetches, verifies, warms up and swaps in a promoted version while requests run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from classifier import (
    BundleDamaged,
    BundleIncomplete,
    BundleUntrusted,
    Classifier,
    ClassifierError,
)
from classifier.batches import DEFAULT_BATCH_TOKENS
from classifier.description import Description
from classifier.device import Device
from classifier.golden import read_golden
from classifier.precision import Chosen, Precision, load_fastest
from service.inference.bundle_check import CheckLimits, CheckStopped, check_bundle
from service.inference.follower_state import FollowerState, ProblemReason, advice_on, reason_of
from service.inference.jobs import ServedModel
from service.inference.model_sources import ModelTarget, source_of
from stores.errors import RegistryUnavailable, StoreError
from stores.promotion import label_change, labels_digest
from stores.settings import SigningSettings, TrackingSettings

logger = logging.getLogger(__name__)

_SEE_LOG = "the newest version cannot be served; the log and /model say why"
_OTHER_LABELS = (
    "the newest version has other labels, which are not accepted; the log and /model say how to accept them"
)
_MAX_PAUSE = 300.0
"""Maximum seconds between two attempts to load a version."""


class ChampionFollower:
    """Keeps `served` at the version that should be served.

    A version is swapped in only after it was fetched, verified (hashes, and the signature where a key is set), loaded
    and golden-checked in a child process with limits, loaded here and warmed up. If that fails, the old version stays
    and the new one is tried again after a growing pause. At start-up the version that was loaded last is loaded from
    the local cache while MLflow is queried, and served unless MLflow has named another one by then.

    A version whose labels differ from those of the served version (or the last one served before a restart) is refused
    until the registry accepts them (`promote --force`, `rollback`; see `stores.promotion`) or `allow_label_change` is
    set: an alias moved by mistake would otherwise replace the classifier by one for another task.

    Args:
        tracking: which registry and model; MODEL_URI pins a version, an alias or a folder.
        signing: the keys that bundles must be signed with, if any.
        poll_seconds: pause between two polls of the registry.
        threads: threads of one inference; None takes every core.
        precision: which of a bundle's files runs, where it holds float32 and int8.
        device: where a network computes; an unavailable device is a problem in `state`.
        batch_tokens: size of the batch that warms a model up.
        allow_label_change: whether a moved alias may change the labels.
        on_swap: called with each model that is swapped in.
        limits: of the check in a child process; None: no check.
        on_failure: called for each poll or swap that failed.
        on_problem: called after each poll with the kind of problem, or None.
        on_labels: called for each other version with whether it is refused for its labels.
    """

    _what = "champion"
    _keeps_labels = True
    _starts_from_cache = True

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
        allow_label_change: bool = False,
        on_failure: Callable[[], None] = lambda: None,
        on_labels: Callable[[bool], None] = lambda _: None,
        limits: CheckLimits | None = None,
        on_problem: Callable[[ProblemReason | None], None] = lambda _: None,
    ) -> None:
        self._keys = signing.keys
        self._limits = limits
        self._on_problem = on_problem
        self._poll_seconds = poll_seconds
        self._threads = threads
        self._precision: Precision = precision
        self._device: Device = device
        self._batch_tokens = batch_tokens
        self._on_swap = on_swap
        self._allow_label_change = allow_label_change
        self._on_failure = on_failure
        self._on_labels = on_labels
        self._source = source_of(tracking)
        self._tracking = tracking
        self._rejected: tuple[str, int, float] | None = None  # model id, failures, when to try again
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{self._what}-follower", daemon=True)
        self.served: ServedModel | None = None
        """The model in use; None until the first one is ready."""
        self.state = FollowerState(self._source.address)

    def start(self) -> None:
        """Start the thread; it polls at once."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Stop the thread; waits at most `timeout` seconds for a running load."""
        self._stopping.set()
        self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        poll = self._first_poll
        while not self._stopping.is_set():
            try:
                poll()
            except Exception as error:  # a dead follower would keep an old champion unnoticed
                logger.exception(f"{self._what}_poll_failed")
                self._note_problem(f"unexpected {type(error).__name__}: {error}", "unexpected")
            poll = self.poll
            self._stopping.wait(self._poll_seconds)

    def poll(self) -> None:
        """Ask the registry once, and swap if there is another version."""
        self._poll_with(self._source.target)

    def _poll_with(self, ask: Callable[[], ModelTarget]) -> None:
        try:
            target = ask()
        except CheckStopped:
            return
        except StoreError as error:
            self._registry_failed(error)
            return
        self.state = replace(self.state, last_poll=time.time())
        if self.served is not None and target.model_id == self.served.model_id:
            if target.tags != self.served.tags:  # metrics may be added after a version was promoted
                self.served = replace(self.served, tags=target.tags)
            self._rejected = None
            self._on_labels(False)
            self._note_no_problem()
            return
        if self._is_rejected(target):
            return
        began = time.monotonic()
        try:
            if refused := self._refused_for_labels(target):
                self._keep_labels(refused)
                return
            model = self._loaded(target)
        except CheckStopped:
            return
        except Exception as error:
            self._refuse(target, error, time.monotonic() - began)
            return
        self._rejected = None
        self._note_no_problem()
        self._swap_in(model)
        self._source.note_loaded(target)
        if self._keeps_labels:
            self._source.note_served(target, model.classifier.labels)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _first_poll(self) -> None:
        """Load the cached version while the registry is queried, which may take a minute."""
        if not self._starts_from_cache or self.served is not None:
            self.poll()
            return
        asked = _RegistryQuery(self._source.target)
        try:
            known = self._remembered()
            model = self._loaded(known) if known else None
        except CheckStopped:
            return
        except Exception as error:  # the registry may name another version
            logger.warning("cached_not_served", extra={"fields": {"reason": str(error)}})
        else:
            if model is not None and asked.may_be(model.model_id):
                logger.info("served_from_cache", extra={"fields": {"version": model.version}})
                self._swap_in(model)
        self._poll_with(lambda: asked.answer(self._stopping))

    def _registry_failed(self, error: StoreError) -> None:
        """Record that the registry does not name a version."""
        reason: ProblemReason = (
            "registry_unavailable" if isinstance(error, RegistryUnavailable) else "not_registered"
        )
        self._note_problem(str(error), reason, advice=advice_on(error))
        if self.served is None and isinstance(error, RegistryUnavailable):
            self._serve_last_known(str(error))

    def _serve_last_known(self, reason: str) -> None:
        """Serve the version that was loaded last; the next poll asks the registry again."""
        try:
            known = self._remembered()
            if known is None or self._is_rejected(known):
                return
            logger.warning("registry_away", extra={"fields": {"serving": known.version, "reason": reason}})
            self._swap_in(self._loaded(known))
        except CheckStopped:
            return
        except Exception as error:
            if known is not None:
                self._reject(known)
            self._note_problem(
                f"{reason}; and the last known champion cannot be served: {error}", "registry_unavailable"
            )

    def _remembered(self) -> ModelTarget | None:
        """The cached version that may be served; does not ask the registry."""
        known = self._source.last_loaded()
        served = self._source.last_served() if self._keeps_labels and not self._allow_label_change else None
        # The alias may have pointed to a version that was refused for its labels.
        if served and (known is None or set(self._labels_of(known)) != set(served[1])):
            return served[0]
        return known

    def _refuse(self, target: ModelTarget, error: Exception, seconds: float) -> None:
        """Keep the served version, and retry `target` after a growing pause; `seconds`: duration of this attempt."""
        self._reject(target, seconds)
        which = f"{target.name} version {target.version}"
        foreseen = isinstance(error, StoreError | ClassifierError | OSError)
        why = str(error) if foreseen else f"unexpected {type(error).__name__}: {error}"
        said = why if why.startswith(f"{which} is") else f"{which} cannot be served: {why}"
        if not foreseen and self._rejected is not None and self._rejected[1] == 1:
            logger.error(f"{self._what}_load_failed", exc_info=error)
        kept = f"; version {self.served.version} keeps answering" if self.served else ""
        self._note_problem(f"{said}{kept}", reason_of(error))

    def _refused_for_labels(self, target: ModelTarget) -> str | None:
        """Why a version is refused: its labels differ from the accepted ones. None: it is not refused."""
        refused = None
        if self._keeps_labels and self._source.follows_alias and not self._allow_label_change:
            labels, before = self._labels_of(target), self._labels_before()
            accepted = self._source.accepted_labels()
            if accepted is None and before is not None:
                accepted = labels_digest(before)
            if accepted is not None and labels_digest(labels) != accepted:
                change = ""
                if before is not None:
                    added = [label for label in labels if label not in before]
                    removed = [label for label in before if label not in labels]
                    change = f" ({label_change(added, removed)})"
                refused = (
                    f"{target.name} version {target.version} has other labels than were served or promoted "
                    f"before{change}; `python -m training promote {target.version} --model {target.name} --force` "
                    "accepts them, or ALLOW_LABEL_CHANGE=true"
                )
        self._on_labels(refused is not None)
        return refused

    def _labels_before(self) -> tuple[str, ...] | None:
        """The served labels, or those served last before a restart; None: unknown."""
        if self.served is not None:
            return self.served.classifier.labels
        last = self._source.last_served()
        return last[1] if last else None

    def _labels_of(self, target: ModelTarget) -> tuple[str, ...]:
        try:
            return Description.read(self._source.fetch(target)).labels
        except (BundleDamaged, BundleIncomplete):
            if not self._source.forget(target):
                raise
            return Description.read(self._source.fetch(target)).labels

    def _keep_labels(self, refused: str) -> None:
        """Keep the served version; after a restart, load the one that was served last."""
        if self.served is None and (last := self._source.last_served()):
            try:
                self._swap_in(self._loaded(last[0]))
            except Exception as error:
                refused += f"; and version {last[0].version}, which was served before, cannot be: {error}"
        kept = f"; version {self.served.version} keeps answering" if self.served else ""
        self._note_problem(f"{refused}{kept}", "labels", advice=_OTHER_LABELS)

    def _loaded(self, target: ModelTarget) -> ServedModel:
        try:
            chosen = self._opened(target)
        except (BundleDamaged, BundleIncomplete, BundleUntrusted) as error:
            # The copy in the local cache may be damaged, and the one in the registry intact.
            if not self._source.forget(target):
                raise
            logger.warning("bundle_fetched_again", extra={"fields": {"reason": str(error)}})
            chosen = self._opened(target)
        logger.info(
            f"{self._what}_loaded",
            extra={
                "fields": {
                    "runs": chosen.reason,
                    "device": chosen.classifier.device,
                    "batch_milliseconds": chosen.milliseconds,
                    "int8": chosen.int8.as_dict() if chosen.int8 else None,
                }
            },
        )
        _warm_up(chosen.classifier, self._batch_tokens)
        return ServedModel(
            chosen.classifier, target.name, target.version, target.alias, target.model_id, dict(target.tags),
            runs=chosen.reason, int8=chosen.int8,
        )  # fmt: skip

    def _opened(self, target: ModelTarget) -> Chosen:
        folder = self._source.fetch(target)
        keys = self._source.check_signature(target, folder, self._keys)
        if self._limits is not None:
            check_bundle(
                folder,
                self._limits,
                precision=self._precision,
                device=self._device,
                marks=self._marks(),
                low_priority=self.served is not None,
                stopping=self._stopping.is_set,
            )
        return load_fastest(
            folder,
            signing_key=keys,
            threads=self._threads,
            precision=self._precision,
            device=self._device,
            batch_tokens=self._batch_tokens,
        )

    def _marks(self) -> Path | None:
        """Folder of the marks of checked bundles; None: it cannot be written."""
        try:
            return self._tracking.folder("models")
        except OSError:
            return None

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

    def _is_rejected(self, target: ModelTarget) -> bool:
        return (
            self._rejected is not None
            and self._rejected[0] == target.model_id
            and time.monotonic() < self._rejected[2]
        )

    def _reject(self, target: ModelTarget, seconds: float = 0.0) -> None:
        failures = self._rejected[1] + 1 if self._rejected and self._rejected[0] == target.model_id else 1
        # At least twice the duration of the attempt, so that retries take at most a third of a processor.
        pause = min(_MAX_PAUSE, max(self._poll_seconds * 2 ** min(failures, 30), 2 * seconds))
        self._rejected = (target.model_id, failures, time.monotonic() + pause)

    def _note_problem(self, problem: str, reason: ProblemReason, *, advice: str = _SEE_LOG) -> None:
        if problem != self.state.problem:  # not at every poll
            logger.error(f"{self._what}_not_followed", extra={"fields": {"reason": problem}})
        self.state = replace(
            self.state, problem=problem, problem_at=time.time(), advice=advice, reason=reason
        )
        self._on_problem(reason)
        self._on_failure()

    def _note_no_problem(self) -> None:
        if self.state.problem is not None:
            self.state = replace(self.state, problem=None, problem_at=None, advice=None, reason=None)
        self._on_problem(None)


class _RegistryQuery:
    """A query of the registry in a thread: it may take a minute, and must not delay shutdown."""

    def __init__(self, ask: Callable[[], ModelTarget]) -> None:
        self._ask = ask
        self._done = threading.Event()
        self._found: ModelTarget | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name="registry-question", daemon=True).start()

    def _run(self) -> None:
        try:
            self._found = self._ask()
        except Exception as error:
            self._error = error
        finally:
            self._done.set()

    def may_be(self, model_id: str) -> bool:
        """Whether `model_id` may be served, as far as the query has been answered."""
        if not self._done.is_set() or isinstance(self._error, RegistryUnavailable):
            return True
        return self._found is not None and self._found.model_id == model_id

    def answer(self, stopping: threading.Event) -> ModelTarget:
        """The result or the exception of the query; CheckStopped if the service stops before."""
        while not self._done.wait(0.05):
            if stopping.is_set():
                raise CheckStopped("the service is stopping")
        if self._error is not None:
            raise self._error
        assert self._found is not None, "this is a bug: neither an answer nor an error"
        return self._found


def _warm_up(classifier: Classifier, batch_tokens: int) -> None:
    """Run one text and one full batch, so that first allocations do not delay the first request."""
    texts, _, _ = read_golden(classifier.folder)
    encoded = classifier.encode(texts[:1], all_stages=True)
    classifier.infer(encoded)
    fitting = max(1, min(64, batch_tokens // encoded[0].cost))
    for exclusive in (True, False):
        classifier.infer(encoded * fitting, exclusive=exclusive)
