"""Data types between a request and its answer: jobs (requests), items (texts), batches, answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from classifier import Classifier, Encoded
from classifier.int8 import Int8Agreement
from classifier.runtime import Probabilities
from stores.sources import API


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """A loaded model with its name, version and tags."""

    classifier: Classifier
    name: str
    version: str
    alias: str | None
    model_id: str
    """Unique, also among models of the same name and version in other registries."""
    tags: dict[str, str] = field(default_factory=dict)
    runs: str = ""
    """Why this file of the bundle runs, in words."""
    int8: Int8Agreement | None = None
    """int8 against float32 on this processor, where the bundle holds both and int8 was considered."""
    loaded_at: float = field(default_factory=time.time)
    """Seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer to one text."""

    id: str
    scores: list[tuple[str, float]]
    """All labels with their probabilities, the highest first."""
    tokens: int
    truncated: bool
    stage: str | None = None
    """Stage of the cascade that answered; None: the model has no stages."""


class Job:
    """The texts of one request. Its future gets the answers in order, or a ServiceError.

    Cancelling the future abandons the job: texts that are not computed yet are dropped.
    """

    __slots__ = (
        "_answers",
        "_missing",
        "began",
        "deadline",
        "future",
        "items",
        "key_name",
        "last_batch",
        "model",
        "request_id",
        "source",
        "submitted",
        "turn",
    )

    def __init__(
        self,
        model: ServedModel,
        encoded: Sequence[Encoded],
        *,
        deadline: float,
        request_id: str | None = None,
        source: str = API,
        key_name: str | None = None,
        began: float | None = None,
    ) -> None:
        self.model = model
        self.deadline = deadline
        """`time.monotonic()` after which the answer is of no use."""
        self.request_id = request_id
        self.source = source
        """Where the request came from (`stores.sources`)."""
        self.key_name = key_name
        """Name of the key that asked; None: no keys are set."""
        self.items = [Item(self, position, item) for position, item in enumerate(encoded)]
        self.future: Future[list[Answer]] = Future()
        self.turn = 0
        self.submitted = time.monotonic()
        self.began = self.submitted if began is None else began
        """`time.monotonic()` when the request had been read, before it was tokenised."""
        self.last_batch: ComputedBatch | None = None
        """The batch that was answered last; the request waited for it."""
        self._answers: list[Answer | None] = [None] * len(encoded)
        self._missing = len(encoded)

    @property
    def over(self) -> bool:
        """Whether it was answered, failed or was abandoned."""
        return self.future.done()

    def answer(self, position: int, answer: Answer) -> None:
        """Set one answer; the last one completes the job. Called from one thread only."""
        self._answers[position] = answer
        self._missing -= 1
        if not self._missing:
            try:
                self.future.set_result([item for item in self._answers if item is not None])
            except InvalidStateError:
                return  # abandoned while it was computed

    def fail(self, error: Exception) -> None:
        """Set an error, unless the job is over."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return


class Item:
    """One text of a job."""

    __slots__ = ("encoded", "job", "position")

    def __init__(self, job: Job, position: int, encoded: Encoded) -> None:
        self.job = job
        self.position = position
        self.encoded = encoded

    @property
    def cost(self) -> int:
        """Tokens that the model computes for it."""
        return self.encoded.cost


@dataclass(frozen=True, slots=True)
class ComputedBatch:
    """A batch of one model, computed."""

    model: ServedModel
    items: list[Item]
    probabilities: Probabilities
    """(len(items), labels)"""
    taken: float
    """`time.monotonic()` when it was taken from the queue."""
    computed: float
    """`time.monotonic()` when the model was done with it."""
    cached: bool = False
    """Whether every answer was cached when the request arrived, so that nothing was queued or computed."""
    stages: NDArray[np.int64] | None = None
    """(len(items),) index of the stage that answered each text; None: the first, or a model without stages."""

    def stage(self, row: int) -> str | None:
        """Name of the stage that answered the text in `row`; None: the model has no stages."""
        names = self.model.classifier.stages
        if not names:
            return None
        return names[0 if self.stages is None else int(self.stages[row])]


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds that a request spent in each stage, of the batch that was answered last."""

    tokenise: float
    queue: float
    infer: float
    log: float

    def as_dict(self) -> dict[str, float]:
        """Stage → seconds, in the order in which a request passes them."""
        return {"tokenise": self.tokenise, "queue": self.queue, "infer": self.infer, "log": self.log}

    @classmethod
    def of(cls, job: Job, *, tokenise: float) -> Stages:
        """The stages of an answered job, which was queued once it had been tokenised."""
        batch = job.last_batch
        assert batch is not None, "this is a bug: a job was answered without a batch"
        return cls(
            tokenise=tokenise,
            queue=max(0.0, batch.taken - job.submitted),
            infer=batch.computed - batch.taken,
            log=time.monotonic() - batch.computed,
        )


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    """A request's answers."""

    model: ServedModel
    answers: list[Answer]
    stages: Stages
