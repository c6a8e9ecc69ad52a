"""What travels from a request to its answer: jobs (requests), items (texts), batches and answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from classifier import Classifier, Encoded
from classifier.runtime import Probabilities


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """A loaded model and what it is called."""

    classifier: Classifier
    name: str
    version: str
    alias: str | None
    model_id: str
    """What tells it from every other model, also from one of the same name and version in another registry."""
    tags: dict[str, str] = field(default_factory=dict)
    runs: str = ""
    """Why it is this file of the bundle that runs, in words."""
    loaded_at: float = field(default_factory=time.time)
    """Seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one text."""

    id: str
    scores: list[tuple[str, float]]
    """All labels with their probabilities, the highest first."""
    tokens: int
    truncated: bool


class Job:
    """One request's texts on their way. Its future gets the answers in order, or a ServiceError.

    Cancelling the future abandons the job: what has not been computed never will be.
    """

    __slots__ = (
        "_answers",
        "_missing",
        "began",
        "deadline",
        "future",
        "items",
        "last_batch",
        "model",
        "request_id",
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
        began: float | None = None,
    ) -> None:
        self.model = model
        self.deadline = deadline
        """`time.monotonic()` after which nobody waits any more."""
        self.request_id = request_id
        self.items = [Item(self, position, item) for position, item in enumerate(encoded)]
        self.future: Future[list[Answer]] = Future()
        self.turn = 0
        self.submitted = time.monotonic()
        self.began = self.submitted if began is None else began
        """`time.monotonic()` when the request had been read, before it was tokenised."""
        self.last_batch: Computed | None = None
        """The batch that was answered last, which is the one that the request waited for."""
        self._answers: list[Answer | None] = [None] * len(encoded)
        self._missing = len(encoded)

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()

    def answer(self, position: int, answer: Answer) -> None:
        """Note one answer; the last one completes the job. Called from one thread only."""
        self._answers[position] = answer
        self._missing -= 1
        if not self._missing:
            try:
                self.future.set_result([item for item in self._answers if item is not None])
            except InvalidStateError:
                return  # abandoned while it was computed

    def fail(self, error: Exception) -> None:
        """End the job with an error, unless it is over."""
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
class Computed:
    """A batch of one model, computed."""

    model: ServedModel
    items: list[Item]
    probabilities: Probabilities
    """(len(items), labels)"""
    taken: float
    """`time.monotonic()` when it was cut from the line."""
    computed: float
    """`time.monotonic()` when the model was done with it."""
    remembered: bool = False
    """Whether every answer was known when the request came, so that nothing waited and nothing was computed."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Where a request's time went, in seconds; those of the batch that it waited for longest."""

    tokenise: float
    queue: float
    infer: float
    log: float

    def as_dict(self) -> dict[str, float]:
        """Stage → seconds, in the order in which a request passes them."""
        return {"tokenise": self.tokenise, "queue": self.queue, "infer": self.infer, "log": self.log}

    @classmethod
    def of(cls, job: Job, *, tokenise: float) -> Stages:
        """Those of an answered job, which began waiting when it had been tokenised."""
        batch = job.last_batch
        assert batch is not None, "this is a bug: a job was answered without a batch"
        return cls(
            tokenise=tokenise,
            queue=max(0.0, batch.taken - job.submitted),
            infer=batch.computed - batch.taken,
            log=time.monotonic() - batch.computed,
        )


@dataclass(frozen=True, slots=True)
class Classified:
    """A request's answers."""

    model: ServedModel
    answers: list[Answer]
    stages: Stages
