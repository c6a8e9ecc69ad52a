"""An engine on Ray: chunks go to workers on any number of machines, and their answers come back in order.

Only texts travel there and only answers back: this process alone reads the input and writes the parts, so workers
need no common disk, and a job goes on with either engine where the other left it. A worker is one processor and one
copy of the model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

from classifier import ClassifierError
from service.scoring.bundle_copy import BundleCopy
from service.scoring.champion import ScoringModel
from service.scoring.engines import Answered, Engine
from service.scoring.errors import EngineUnavailable, ModelMissing, WorkersLost
from service.scoring.ray_worker import RayWorker
from service.scoring.tables import Chunk
from stores.cluster import Cluster, check_ray, ray_cluster
from stores.errors import ClusterUnavailable

_AHEAD = 2
"""Chunks a worker has at most: the one that it computes, and the next."""
_TRIES_AGAIN = 3
"""How often a chunk is tried again whose worker died; one that kills every worker must not be tried for ever."""
_RESTARTS = 100
"""How often one worker is replaced: on machines that are taken away at will, a long job loses many."""


def on_ray(address: str | None = None, workers: int | None = None) -> Engine:
    """An engine on the cluster at `address`, or on a Ray of its own on this machine.

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
    ) -> Generator[Answered, None, None]:
        try:
            # Ray prints each death of a worker, the last ones when it is left; what comes of them stands in the errors.
            with redirect_stdout(StringIO()), ray_cluster(address, workers) as cluster, _errors(cluster.ray):
                yield from _Pool(cluster, model, columns).answered(chunks)
        except ClusterUnavailable as error:
            raise EngineUnavailable(str(error)) from None

    return score


class _Pool:
    """Workers that have the model, and the chunks that are on their way."""

    def __init__(self, cluster: Cluster, model: ScoringModel, columns: Mapping[str, type]) -> None:
        self._ray = cluster.ray
        # On one machine the bundle lies where it is; elsewhere each worker gets it from the cluster's memory.
        copy = BundleCopy.of(model, packed=not cluster.local)
        self._bundle = [self._ray.put(copy)]
        self._columns = dict(columns)
        actor = self._ray.remote(RayWorker).options(
            num_cpus=1, max_restarts=_RESTARTS, max_task_retries=_TRIES_AGAIN
        )
        workers = [actor.remote() for _ in range(cluster.workers)]
        self._starting = {worker.load.remote(self._bundle): worker for worker in workers}
        self._most = _AHEAD * cluster.workers
        self._load: dict[Any, int] = {}
        """Chunks that each worker has; only those that have loaded the model are in it."""
        self._at_work: dict[Any, Any] = {}
        """Answer on its way → its worker."""

    def answered(self, chunks: Iterable[Chunk]) -> Iterator[Answered]:
        """Chunks with their answers, in order."""
        line: deque[tuple[Chunk, Any]] = deque()
        for chunk in chunks:
            line.append((chunk, self._sent(chunk)))
            while line and (len(line) >= self._most or self._is_done(line[0][1])):
                yield self._received(*line.popleft())
        while line:
            yield self._received(*line.popleft())

    def _sent(self, chunk: Chunk) -> Any:
        """Give a chunk to the worker that has the least to do; those that are still loading are left alone."""
        self._look_around()
        worker = min(self._load, key=lambda each: self._load[each])
        answer = worker.answer.remote(self._bundle, chunk.texts, chunk.problems, self._columns)
        self._load[worker] += 1
        self._at_work[answer] = worker
        return answer

    def _look_around(self) -> None:
        """Note who has loaded the model and which answers are there; waits while no worker has."""
        for loaded in self._done(self._starting, at_least=0 if self._load else 1):
            self._ray.get(loaded)  # raises what loading raised
            self._load[self._starting.pop(loaded)] = 0
        for answer in self._done(self._at_work):
            self._load[self._at_work.pop(answer)] -= 1

    def _done(self, waited_for: Iterable[Any], at_least: int = 0) -> list[Any]:
        everything = list(waited_for)
        if not everything:
            return []
        if at_least:
            self._ray.wait(everything, num_returns=at_least)
        done: list[Any] = self._ray.wait(everything, num_returns=len(everything), timeout=0)[0]
        return done

    def _is_done(self, answer: Any) -> bool:
        return bool(self._ray.wait([answer], timeout=0)[0])

    def _received(self, chunk: Chunk, answer: Any) -> Answered:
        added, problems = self._ray.get(answer)
        return Answered(chunk, added, problems)


@contextmanager
def _errors(ray: Any) -> Iterator[None]:
    """What Ray raises, as what it means here."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ClassifierError):
            raise ModelMissing(f"a worker refuses the model: {error.cause}") from None
        raise WorkersLost(f"a worker failed: {type(error.cause).__name__}: {error.cause}") from None
    except ray.exceptions.RayError as error:
        raise WorkersLost(
            f"a worker died {_TRIES_AGAIN + 1} times over one chunk, or the cluster went away "
            f"({type(error).__name__}). What is done is kept: the same command goes on from there"
        ) from None
