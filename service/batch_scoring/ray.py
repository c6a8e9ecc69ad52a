"""A batch-scoring engine on Ray: workers on any number of machines score chunks, which come back in order.

Workers receive texts and return predictions. Only this process reads the input and writes the parts, so workers need
no shared disk, and either engine resumes a job of the other. A worker has one processor and one copy of the model.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

from classifier import Classifier, ClassifierError
from service.batch_scoring.errors import EngineUnavailable, ModelMissing, WorkersLost
from service.batch_scoring.model import BundleCopy, ScoringModel
from service.batch_scoring.predict import ScoredChunk, ScoringEngine, answer
from service.batch_scoring.tables import Chunk
from stores.cluster import Cluster, check_ray, ray_cluster
from stores.errors import ClusterUnavailable
from stores.tabular import Columns


class RayWorker:
    """One process with one copy of the model; each call brings a reference to the BundleCopy that it loads."""

    def __init__(self) -> None:
        self._loaded: Classifier | None = None

    def load(self, bundle: Sequence[Any]) -> None:
        """Load the model before the first chunk comes.

        Args:
            bundle: a list of one reference to a BundleCopy; being in a list, it is fetched only when it is needed.

        Raises:
            BundleError: it is damaged, is not the one that was meant, or computes something else here.
        """
        self._classifier(bundle)

    def answer(
        self,
        bundle: Sequence[Any],
        texts: Sequence[str | None],
        problems: Sequence[str | None],
        columns: Mapping[str, type],
    ) -> tuple[Columns, dict[str, int]]:
        """A chunk's new columns, and how many rows have which problem."""
        return answer(self._classifier(bundle), texts, problems, columns)

    def _classifier(self, bundle: Sequence[Any]) -> Classifier:
        if self._loaded is None:
            import ray

            copy: BundleCopy = ray.get(bundle[0])
            self._loaded = copy.load(threads=1)
        return self._loaded


_AHEAD = 2
"""Chunks a worker has at most: the one that it computes, and the next."""
_TRIES_AGAIN = 3
"""How often a chunk is tried again whose worker was lost; one that kills every worker must not be tried for ever."""
_REPLACEMENTS = 100
"""Workers that may be replaced for each that was asked for: on preemptible machines a long job loses many."""
_START_SECONDS = 300.0
"""How long at least one worker may take to start and load the model; that includes waiting for a free processor."""
_LOOK_SECONDS = 5.0


def ray_engine(address: str | None = None, workers: int | None = None) -> ScoringEngine:
    """An engine on the cluster at `address`, or on a Ray that is started on this machine.

    Besides what is raised here, the engine raises EngineUnavailable where the cluster has too few processors,
    ModelMissing where a worker refuses the model, and WorkersLost where workers die again and again.

    Args:
        address: as RAY_ADDRESS; None starts a Ray on this machine, which is stopped when the engine is closed.
        workers: how many; None: one for each processor of the cluster.

    Raises:
        EngineUnavailable: Ray is not installed, or nothing listens at `address`.
    """
    try:
        check_ray(address)
    except ClusterUnavailable as error:
        raise EngineUnavailable(str(error)) from None

    def score(
        chunks: Iterable[Chunk], model: ScoringModel, columns: Mapping[str, type]
    ) -> Generator[ScoredChunk, None, None]:
        try:
            # Ray prints each death of a worker, also while it is stopped; the errors here report their effect.
            with redirect_stdout(StringIO()), ray_cluster(address, workers) as cluster, _errors(cluster.ray):
                yield from _Pool(cluster, model, columns).answered(chunks)
        except ClusterUnavailable as error:
            raise EngineUnavailable(str(error)) from None

    return score


@dataclass(slots=True)
class _Sent:
    """A chunk that was sent to a worker."""

    chunk: Chunk
    answer: Any
    worker: Any
    losses: int = 0
    """Workers that were lost while they had it."""


class _Pool:
    """Workers with the model, and the chunks that were sent to them.

    A worker that is lost, by itself or with its machine, is replaced by a new one, which starts where there is a free
    processor, and its chunks go to those that are left. Ray's own restarts are not used: they wait for the processor of
    the lost machine, and fail the chunks meanwhile.
    """

    def __init__(self, cluster: Cluster, model: ScoringModel, columns: Mapping[str, type]) -> None:
        self._ray = cluster.ray
        self._lost = (cluster.ray.exceptions.RayActorError, cluster.ray.exceptions.ObjectLostError)
        # On one machine the bundle lies where it is; elsewhere each worker gets it from the cluster's memory.
        copy = BundleCopy.of(model, packed=not cluster.local)
        self._bundle = [self._ray.put(copy)]
        self._columns = dict(columns)
        self._actor = self._ray.remote(RayWorker).options(num_cpus=1, max_restarts=0, max_task_retries=0)
        self._replacements_left = _REPLACEMENTS * cluster.workers
        self._starting: dict[Any, Any] = {}
        """Model on its way to be loaded → its worker."""
        self._most = _AHEAD * cluster.workers
        self._load: dict[Any, int] = {}
        """Chunks that each worker has; only those that have loaded the model are in it."""
        self._at_work: dict[Any, Any] = {}
        """Answer on its way → its worker."""
        for _ in range(cluster.workers):
            self._start()

    def answered(self, chunks: Iterable[Chunk]) -> Iterator[ScoredChunk]:
        """Chunks with their answers, in order."""
        line: deque[_Sent] = deque()
        for chunk in chunks:
            line.append(self._sent(chunk))
            while line and (len(line) >= self._most or self._is_done(line[0].answer)):
                yield self._received(line.popleft())
        while line:
            yield self._received(line.popleft())

    def _start(self) -> None:
        worker = self._actor.remote()
        self._starting[worker.load.remote(self._bundle)] = worker

    def _sent(self, chunk: Chunk, losses: int = 0) -> _Sent:
        """Give a chunk to the worker that has the least to do; those that are still loading are left alone."""
        self._look_around()
        worker = min(self._load, key=lambda each: self._load[each])
        answer = worker.answer.remote(self._bundle, chunk.texts, chunk.problems, self._columns)
        self._load[worker] += 1
        self._at_work[answer] = worker
        return _Sent(chunk, answer, worker, losses)

    def _received(self, sent: _Sent) -> ScoredChunk:
        while True:
            try:
                added, problems = self._ray.get(sent.answer)
                return ScoredChunk(sent.chunk, added, problems)
            except self._lost:
                if sent.losses >= _TRIES_AGAIN:
                    raise
                self._replace(sent.worker)
                sent = self._sent(sent.chunk, sent.losses + 1)

    def _replace(self, worker: Any) -> None:
        """Start another worker in place of a lost one; noted once, however many chunks it had."""
        if self._load.pop(worker, None) is None:
            return
        self._ray.kill(worker)  # its machine may only be out of reach
        self._count_replacement()
        self._start()

    def _count_replacement(self) -> None:
        self._replacements_left -= 1
        if self._replacements_left < 0:
            raise WorkersLost(
                "too many workers were lost. What is done is kept: the same command continues from there"
            )

    def _look_around(self) -> None:
        """Note who has loaded the model and which answers are there; waits while no worker has."""
        waited_since = time.monotonic()
        while True:
            for loaded in self._done(self._starting):
                worker = self._starting.pop(loaded)
                try:
                    self._ray.get(loaded)  # raises what loading raised
                except self._lost:
                    self._count_replacement()
                    self._start()
                else:
                    self._load[worker] = 0
            if self._load:
                break
            if time.monotonic() - waited_since > _START_SECONDS:
                raise WorkersLost(
                    f"no worker started within {_START_SECONDS:.0f} s: the cluster has no free processor. "
                    "What is done is kept: the same command continues from there"
                )
            self._ray.wait(list(self._starting), num_returns=1, timeout=_LOOK_SECONDS)
        for pending in self._done(self._at_work):
            worker = self._at_work.pop(pending)
            if worker in self._load:
                self._load[worker] -= 1

    def _done(self, waited_for: Iterable[Any]) -> list[Any]:
        everything = list(waited_for)
        if not everything:
            return []
        done: list[Any] = self._ray.wait(everything, num_returns=len(everything), timeout=0)[0]
        return done

    def _is_done(self, answer: Any) -> bool:
        return bool(self._ray.wait([answer], timeout=0)[0])


@contextmanager
def _errors(ray: Any) -> Iterator[None]:
    """Translate Ray's errors."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ClassifierError):
            raise ModelMissing(f"a worker refuses the model: {error.cause}") from None
        raise WorkersLost(f"a worker failed: {type(error.cause).__name__}: {error.cause}") from None
    except ray.exceptions.RayError as error:
        raise WorkersLost(
            f"{_TRIES_AGAIN + 1} workers were lost while they had the same chunk, or the cluster went away "
            f"({type(error).__name__}). What is done is kept: the same command continues from there"
        ) from None
