"""Bad champions promoted in the registry, and good ones under load: the old one answers until the new one can."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from classifier.manifest import write_manifest
from drills.champion import bundle, register, registered_var, registry
from drills.processes import Service, serving
from drills.registry import Bench, Outcome, drill
from drills.traffic import traffic, until
from drills.wire import Connection

_NOTICED = 40.0
"""Seconds within which the service must have looked at a new champion."""


def _edited(name: str, change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        answer = change(content)
        (folder / name).write_text(json.dumps(content if answer is None else answer), encoding="utf-8")

    return damage


def _written(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


def _removed(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()

    return damage


def _cut(folder: Path) -> None:
    path = folder / "pipeline.skops"
    path.write_bytes(path.read_bytes()[:-500])


def _other_estimator(folder: Path) -> None:
    from sklearn.preprocessing import StandardScaler

    from classifier.runtimes.sklearn import save_skops

    save_skops(StandardScaler(), folder / "pipeline.skops")


def _not_fitted(folder: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from classifier.runtimes.sklearn import save_skops

    save_skops(make_pipeline(TfidfVectorizer(), LogisticRegression()), folder / "pipeline.skops")


_SEALED: dict[str, Callable[[Path], None]] = {
    "labels missing": _edited("classifier.json", lambda known: known.pop("labels") and None),
    "one label less": _edited("classifier.json", lambda known: known.update(labels=["business", "tech"])),
    "unknown kind": _edited("classifier.json", lambda known: known.update(kind="oracle")),
    "file outside": _edited("classifier.json", lambda known: known.update(model_file="../../etc/passwd")),
    "later format": _edited("classifier.json", lambda known: known.update(format_version=99)),
    "description a list": _written("classifier.json", b"[]"),
    "description no JSON": _written("classifier.json", b"\x00\x01"),
    "golden empty": _written("golden.json", b'{"tolerance": 0.001, "texts": []}'),
    "golden deep": _written("golden.json", b"[" * 100_000),
    "golden of another": _edited("golden.json", lambda known: _turned(known)),
    "model empty": _written("pipeline.skops", b""),
    "model random": _written("pipeline.skops", bytes(range(256)) * 100),
    "model a pickle": _written("pipeline.skops", b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    "other estimator": _other_estimator,
    "not fitted": _not_fitted,
}
"""Damage whose hashes fit: the content alone is wrong."""

_UNSEALED: dict[str, Callable[[Path], None]] = {
    "model cut": _cut,
    "model missing": _removed("pipeline.skops"),
    "extra file": _written("extra.py", b"raise SystemExit"),
    "manifest a list": _written("manifest.json", b"[]"),
    "manifest null": _written("manifest.json", b"null"),
    "manifest missing": _removed("manifest.json"),
}


def _turned(golden: dict[str, object]) -> None:
    """Give the golden texts each other's probabilities."""
    rows = golden["texts"]
    assert isinstance(rows, list)
    texts = [row["text"] for row in rows]
    for row, text in zip(rows, texts[1:] + texts[:1], strict=True):
        row["text"] = text


def _artifacts(var: Path, version_folder: set[Path]) -> Path:
    """The folder in which MLflow keeps the bundle that was logged last."""
    found = {path.parent for path in var.rglob("manifest.json") if "cache" not in path.parts} - version_folder
    if len(found) != 1:
        raise FileNotFoundError(f"one new bundle was expected under {var}, and there are {len(found)}")
    return found.pop()


def _answers(service: Service, version: str) -> bool:
    return _card(service)["version"] == version


def _new_problem(service: Service, before: object) -> bool:
    return _card(service)["problem"] not in (None, before)


def _card(service: Service) -> dict[str, object]:
    with Connection(service.port, timeout=10) as connection:
        found: dict[str, object] = connection.get("/model").json()
    return found


@drill(
    "models.bad_champions",
    promise="A version that cannot be served never replaces the champion; the old one answers every request.",
    limit=600,
)
def bad_champions(bench: Bench) -> Outcome:
    """Promote twenty kinds of broken versions, one after another, under load."""
    var = registered_var(bench)
    models = registry(var)
    kinds = {**_SEALED, **_UNSEALED}
    wanted = list(kinds)[:: max(1, len(kinds) // bench.count(len(kinds), least=3))]
    faults: list[str] = []
    refused = []
    with serving(var) as service, traffic(service.port, clients=2, pause=0.05) as found:
        for kind in wanted:
            known = {path.parent for path in var.rglob("manifest.json") if "cache" not in path.parts}
            version = register(models, bundle(bench))
            folder = _artifacts(var, known)
            kinds[kind](folder)
            if kind in _SEALED:
                write_manifest(folder, data={})
            models.promote(version, accept_labels=True)
            before = _card(service)["problem"]
            began = time.monotonic()
            if until(partial(_new_problem, service, before), _NOTICED):
                refused.append(time.monotonic() - began)
            else:
                faults.append(f"{kind}: /model says no new problem within {_NOTICED:.0f} s")
            if (answering := _card(service)["version"]) != "1":
                faults.append(f"{kind}: version {answering} answers")
        models.promote("2", accept_labels=True)
        if not until(partial(_answers, service, "2"), _NOTICED):
            faults.append("a good version after them is not served")
    faults += found.faults
    if found.failed:
        faults.append(f"{found.failed} requests were not answered with 200: {found.said()}")
    figure = (
        f"{len(wanted)} kinds, refused within {max(refused, default=0):.1f} s each; {found.said()} meanwhile; "
        "then a good version is served"
    )
    return Outcome(figure, faults)


@drill(
    "models.promotion",
    promise="Promotions under load fail no request, and reach the service by themselves.",
    limit=180,
)
def promotion(bench: Bench) -> Outcome:
    """Change the champion to and fro under load."""
    var = registered_var(bench)
    models = registry(var)
    faults: list[str] = []
    times = []
    with serving(var) as service, traffic(service.port) as found:
        for turn in range(bench.count(10, least=2)):
            version = "1" if turn % 2 else "2"
            models.promote(version, accept_labels=True)
            began = time.monotonic()
            if until(partial(_answers, service, version), _NOTICED):
                times.append(time.monotonic() - began)
            else:
                faults.append(f"version {version} is not served within {_NOTICED:.0f} s")
            time.sleep(0.5)
    faults += found.faults
    if found.failed:
        faults.append(f"{found.failed} requests were not answered with 200: {found.said()}")
    figure = (
        f"{len(times)} promotions, served within {max(times, default=0):.1f} s each; {found.said()} meanwhile"
    )
    return Outcome(figure, faults)
