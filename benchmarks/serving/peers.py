"""Who takes part: how each is started, asked, and read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.serving.environment import program
from benchmarks.serving.material import Material

_SERVERS = "benchmarks.serving.servers"
_BENTOML = str(Path(sys.executable).with_name("bentoml"))
_MLFLOW = str(Path(sys.executable).with_name("mlflow"))


@dataclass(frozen=True)
class Peer:
    """One server of the benchmark."""

    name: str
    """As the tables call it."""
    command: Callable[[int], list[str]]
    """Port → the command that starts it."""
    path: str
    """Where texts are posted."""
    body: Callable[[str], Any]
    """A text → the JSON that asks for it."""
    label: Callable[[Any], str]
    """The JSON of an answer → the label with the highest score."""
    ready: str = "/"
    """Path that answers, with whatever status, when the server is up."""
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] = ()
    """A command to run once before it is first started."""
    metrics: str | None = None
    """Path of Prometheus metrics that tell its padding; None: it has none."""
    list_body: Callable[[Sequence[str]], Any] | None = None
    """Texts → the JSON of one request for all of them; None: lists are not measured."""
    is_champion: bool = False
    """Whether it serves the cascade by our service."""


def peers(material: Material, folder: Path) -> dict[str, Peer]:
    """Everybody by a short name; `folder` is for what has to be made first."""
    saved = folder / "mlflow-transformers"
    ours = {
        "MODEL_URI": str(material.champion),
        # What is asked again is known; the others know nothing, so neither does it.
        "CACHE_BYTES": "0",
        "THREADS": str(material.threads),
    }
    return {
        "champion": replace(_ours("Champion", {**ours, "VAR_DIR": str(folder / "champion")}), is_champion=True),
        "network": _ours(
            "Champion, network alone",
            {**ours, "VAR_DIR": str(folder / "network"), "MODEL_URI": str(material.bundle)},
        ),
        "float32": _ours(
            "Champion, network alone, float32",
            {
                **ours,
                "VAR_DIR": str(folder / "float32"),
                "MODEL_URI": str(material.bundle),
                "PRECISION": "float32",
            },
        ),
        "fastapi": Peer(
            "FastAPI + pipeline",
            lambda port: [
                sys.executable, "-m", "uvicorn", f"{_SERVERS}.fastapi_pipeline:app", "--host", "127.0.0.1",
                "--port", str(port), "--log-level", "warning",
            ],
            "/classify",
            lambda text: {"text": text},
            _best,
            "/docs",
        ),
        "bentoml": Peer(
            "BentoML + pipeline",
            lambda port: _bento("bentoml_pipeline:Plain", port),
            "/classify",
            lambda text: {"text": text},
            _best,
            "/readyz",
        ),
        "batchable": Peer(
            "BentoML batchable + pipeline",
            lambda port: _bento("bentoml_batchable:Batchable", port),
            "/classify",
            lambda text: {"texts": [text]},
            lambda answer: _best(answer[0]),
            "/readyz",
        ),
        "batchable_bundle": Peer(
            "BentoML batchable, our bundle",
            lambda port: _bento("bentoml_bundle:BatchableBundle", port),
            "/classify",
            lambda text: {"texts": [text]},
            lambda answer: str(answer[0]["label"]),
            "/readyz",
            {"LOGGED": str(material.logged)},
        ),
        "litserve": Peer(
            "LitServe",
            lambda _port: [sys.executable, "-m", f"{_SERVERS}.litserve_pipeline"],
            "/predict",
            lambda text: {"text": text},
            _best,
            "/health",
        ),
        "infinity": _infinity(folder.parent / "infinity", folder / "infinity-weights"),
        "mlflow": Peer(
            "mlflow models serve, transformers",
            lambda port: _mlflow(str(saved), port),
            "/invocations",
            lambda text: {"inputs": [text]},
            lambda answer: str((answer["predictions"] if isinstance(answer, dict) else answer)[0]["label"]),
            "/ping",
            prepare=(sys.executable, "-m", f"{_SERVERS}.mlflow_transformers", str(saved)),
        ),
        "mlflow_bundle": Peer(
            "mlflow models serve, our bundle",
            lambda port: _mlflow(str(material.logged), port),
            "/invocations",
            lambda text: {"inputs": [text]},
            lambda answer: str((answer["predictions"] if isinstance(answer, dict) else answer)[0]["label"]),
            "/ping",
        ),
    }  # fmt: skip


def _ours(name: str, environment: Mapping[str, str]) -> Peer:
    return Peer(
        name,
        lambda port: [sys.executable, "-m", "service", "serve", "--port", str(port)],
        "/classify",
        lambda text: {"text": text},
        lambda answer: str(answer["predictions"][0]["label"]),
        "/readyz",
        environment,
        metrics="/metrics",
        list_body=lambda texts: {"text": list(texts)},
    )


def _infinity(environment: Path, weights: Path) -> Peer:
    """As its documentation starts it, in an environment of its own that is kept between benchmarks."""
    return Peer(
        "infinity, torch",
        lambda port: [
            str(program(environment, "infinity_emb")), "v2", "--model-id", str(weights), "--served-model-name", "news",
            "--engine", "torch", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port),
        ],
        "/classify",
        lambda text: {"model": "news", "input": [text]},
        lambda answer: _best(answer["data"][0]),
        "/health",
        environment={
            "INFINITY_ANONYMOUS_USAGE_STATS": "0",
            "DO_NOT_TRACK": "1",
            "HF_HOME": str(weights.parent / "huggingface"),
            # It compiles the network when it starts; what was compiled is kept, and not in the user's folders.
            "TORCHINDUCTOR_CACHE_DIR": str(environment / "compiled"),
        },
        prepare=(sys.executable, "-m", f"{_SERVERS}.infinity", str(environment), str(weights)),
    )  # fmt: skip


def _bento(service: str, port: int) -> list[str]:
    return [_BENTOML, "serve", f"{_SERVERS}.{service}", "--host", "127.0.0.1", "--port", str(port)]


def _mlflow(model: str, port: int) -> list[str]:
    return [
        _MLFLOW, "models", "serve", "--model-uri", model, "--env-manager", "local", "--host", "127.0.0.1",
        "--port", str(port),
    ]  # fmt: skip


def _best(scores: list[dict[str, Any]]) -> str:
    return str(max(scores, key=lambda item: float(item["score"]))["label"])
