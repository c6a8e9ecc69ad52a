"""Following the champion: a newly promoted version is fetched, verified, warmed and swapped in while requests run."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from classifier import Classifier, ClassifierError
from classifier.golden import read_golden
from service.jobs import ServedModel
from stores.errors import RegistryUnavailable, StoreError
from stores.models import ModelRegistry, RegisteredModel
from stores.settings import SigningSettings, TrackingSettings

logger = logging.getLogger(__name__)

_PINNED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")
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
        batch_tokens: size of the batch that warms a model up.
        on_swap: told of each model that is swapped in.
        on_failure: told of each poll or swap that failed.
    """

    def __init__(
        self,
        tracking: TrackingSettings,
        signing: SigningSettings,
        *,
        poll_seconds: float,
        threads: int | None = None,
        batch_tokens: int = 2048,
        on_swap: Callable[[ServedModel], None] = lambda _: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._key = signing.key
        self._poll_seconds = poll_seconds
        self._threads = threads
        self._batch_tokens = batch_tokens
        self._on_swap = on_swap
        self._on_failure = on_failure
        self._tracking, self._folder, self._version = _target(tracking)
        self._registry: ModelRegistry | None = None
        self._rejected: tuple[str, int, float] | None = None  # model id, failures, when to try again
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="champion-follower", daemon=True)
        self.served: ServedModel | None = None
        """The model that answers now; None until the first one is ready."""
        self.following = Following(
            tracking.model_uri or f"models:/{self._tracking.model_name}@{self._tracking.model_alias}"
        )

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
                logger.exception("champion_poll_failed")
                self._note_problem(f"unexpected {type(error).__name__}: {error}")
            self._stopping.wait(self._poll_seconds)

    def poll(self) -> None:
        """Look once, and swap if there is something new."""
        try:
            wanted = self._wanted()
        except StoreError as error:
            self._note_problem(str(error))
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
        previous, self.served = self.served, model
        self._rejected = None
        self._note_no_problem()
        self._on_swap(model)
        logger.info(
            "champion_swapped",
            extra={
                "fields": {
                    "model": model.name,
                    "version": model.version,
                    "alias": model.alias,
                    "previous": previous.version if previous else None,
                }
            },
        )

    # -- finding --------------------------------------------------------------------------------------------------

    def _wanted(self) -> RegisteredModel:
        """The version that should be served now."""
        if self._folder is not None:
            name = self._folder.resolve().name
            return RegisteredModel(
                name=name, version="folder", model_id=str(self._folder.resolve()), run_id=""
            )
        registry = self._registry = self._registry or ModelRegistry(self._tracking)
        if self._version is not None:
            return registry.by_version(self._version)
        try:
            return registry.by_alias()
        except RegistryUnavailable as error:
            if self.served is None and (known := registry.last_known()) is not None:
                logger.warning(
                    "registry_away", extra={"fields": {"serving": known.version, "reason": str(error)}}
                )
                self._load_last_known(known, str(error))
            raise

    def _load_last_known(self, known: RegisteredModel, reason: str) -> None:
        try:
            self.served = self._loaded(known)
        except (StoreError, ClassifierError, OSError) as error:
            raise RegistryUnavailable(
                f"{reason}; and the last known champion does not load: {error}"
            ) from error
        self._on_swap(self.served)

    def _loaded(self, wanted: RegisteredModel) -> ServedModel:
        if self._folder is not None:
            folder = self._folder
        else:
            assert self._registry is not None, "a version comes from a registry"
            folder = self._registry.fetch(wanted)
        classifier = Classifier.load(folder, signing_key=self._key, threads=self._threads)
        _warm_up(classifier, self._batch_tokens)
        return ServedModel(
            classifier, wanted.name, wanted.version, wanted.alias, wanted.model_id, dict(wanted.tags)
        )

    # -- remembering ----------------------------------------------------------------------------------------------

    def _is_rejected(self, wanted: RegisteredModel) -> bool:
        return (
            self._rejected is not None
            and self._rejected[0] == wanted.model_id
            and time.monotonic() < self._rejected[2]
        )

    def _reject(self, wanted: RegisteredModel) -> None:
        failures = self._rejected[1] + 1 if self._rejected and self._rejected[0] == wanted.model_id else 1
        pause = min(_LONGEST_WAIT, self._poll_seconds * 2**failures)
        self._rejected = (wanted.model_id, failures, time.monotonic() + pause)

    def _note_problem(self, problem: str) -> None:
        if problem != self.following.problem:  # once, not at every poll
            logger.error("champion_not_followed", extra={"fields": {"reason": problem}})
        self.following = replace(self.following, problem=problem, problem_at=time.time())
        self._on_failure()

    def _note_no_problem(self) -> None:
        if self.following.problem is not None:
            self.following = replace(self.following, problem=None, problem_at=None)


def _target(tracking: TrackingSettings) -> tuple[TrackingSettings, Path | None, str | None]:
    """Settings with the model and alias to follow, or the folder or version that MODEL_URI pins.

    Raises:
        ValueError: MODEL_URI starts like a model's address and is none.
    """
    uri = tracking.model_uri
    if uri is None:
        return tracking, None, None
    if not uri.startswith("models:"):
        return tracking, Path(uri), None
    match = _PINNED.fullmatch(uri)
    if match is None:
        raise ValueError(
            f"MODEL_URI is {uri!r}; it must be models:/NAME/VERSION, models:/NAME@ALIAS or the folder of a bundle"
        )
    update = {"model_name": match["name"]} | ({"model_alias": match["alias"]} if match["alias"] else {})
    return tracking.model_copy(update=update), None, match["version"]


def _warm_up(classifier: Classifier, batch_tokens: int) -> None:
    """Run one text and one full batch, so that the first request does not pay for first allocations."""
    texts, _, _ = read_golden(classifier.folder)
    encoded = classifier.encode(texts[:1])
    classifier.infer(encoded)
    fitting = max(1, min(64, batch_tokens // encoded[0].cost))
    classifier.infer(encoded * fitting)
