"""The engine in this process: behind its real HTTP face, and with models that wait or break when a test says so."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from classifier import Classifier, Encoded, PredictionFailed
from classifier.runtime import Probabilities
from service.engine import Engine
from service.http.middleware import HttpMiddleware
from service.inference.jobs import ServedModel
from service.settings import ServiceSettings
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings
from tests.support.registries import with_tables

POISON = "this text breaks the model"
DEADLY = "this text ends the thread"


class Trained(Classifier):
    """A real classifier that can be held back, and that breaks on certain texts."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(
            classifier.description, classifier._model, folder=classifier.folder, manifest=classifier.manifest
        )
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.batches: list[list[str]] = []
        self.exclusive: list[bool] = []

    def infer_staged(
        self, batch: Sequence[Encoded], *, exclusive: bool = True
    ) -> tuple[Probabilities, NDArray[np.int64]]:
        if all(item.answered for item in batch):  # nothing is computed that could be held back
            return super().infer_staged(batch, exclusive=exclusive)
        texts = [item.text for item in batch]
        self.batches.append(texts)
        self.exclusive.append(exclusive)
        self.entered.set()
        assert self.free.wait(60), "a test forgot to let the model go on"
        if DEADLY in texts:
            raise SystemExit("as a crash inside a native library's callback would")
        if POISON in texts:
            raise PredictionFailed("the runtime refused the batch")
        return super().infer_staged(batch, exclusive=exclusive)


def tracking_in(var_dir: Path) -> TrackingSettings:
    """A separate registry, also when MLflow left another one's address in the environment of this process."""
    with_tables(var_dir)
    return TrackingSettings(var_dir=var_dir, mlflow_tracking_uri=f"sqlite:///{var_dir / 'mlflow.db'}")


def served(classifier: Classifier, version: str = "1") -> ServedModel:
    """A loaded model under a name."""
    return ServedModel(classifier, "news", version, "champion", f"m-{version}")


@contextmanager
def running_engine(bundle: Path, var_dir: Path, **settings: Any) -> Iterator[tuple[Engine, Trained]]:
    """An engine that serves the bundle, with its model in the test's hands."""
    engine = Engine(
        ServiceSettings(**{"poll_seconds": 0.1, "threads": 1, "model_check_seconds": 0, **settings}),
        TrackingSettings(var_dir=var_dir, model_uri=str(bundle)),
        PredictionSettings(var_dir=var_dir),
        SigningSettings(),
    )
    engine.champion.poll()
    loaded = engine.champion.served
    assert loaded is not None, engine.champion.state.problem
    trained = Trained(loaded.classifier)
    engine.champion.served = replace(loaded, classifier=trained)
    engine.start()
    try:
        yield engine, trained
    finally:
        trained.free.set()
        engine.stop()


@asynccontextmanager
async def asgi_client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the engine's HTTP face, with no socket between."""

    async def life_cycle(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(f"the face let a {scope['type']} request through to BentoML")

    transport = httpx.ASGITransport(app=HttpMiddleware(life_cycle, lambda: engine))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client
