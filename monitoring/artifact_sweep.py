"""Remove artefacts of erased texts: pages, MLflow artefacts, caches; list those that cannot be rewritten.

The store's tombstones say what was erased. A page that quotes texts goes as a whole if its window holds a prediction
that was erased; figures and pictures stay. A bundle is sealed by its hashes, so it is not changed: monitoring leaves
erased texts of its reference out when it reads it, and the bundle is named here, to be replaced by a retraining.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifier.errors import BundleError
from classifier.golden import read_golden
from classifier.reference import read_reference
from monitoring.errors import BadWindow
from monitoring.settings import MLFLOW_EXPERIMENT
from monitoring.times import moment_of
from stores.errors import StoreError
from stores.predictions import PredictionStore
from stores.predictions.tombstones import erased_moments, erased_texts
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings

_PAGES = ("report.html", "evidently.html")
_QUOTES = ("Texts least like the reference", "Texts of the part that changed", "characteristic examples")
"""Headings of what quotes texts: in our report, and in Evidently's."""
_REMOVED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Removed</title>
<p>This page quoted texts of a window of which a prediction was erased or pruned. verdict.json has the figures.</p>
"""
_QUOTING_TABLES = ("errors.csv", "label_errors.csv")
_QUOTING_FILES = ("errors.html", "label_errors.csv", "errors.csv")


@dataclass
class SweepResult:
    """What was removed, and what still holds something that was erased."""

    removed: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)


def sweep(store: PredictionStore, tracking: TrackingSettings, *, before: float | None = None) -> SweepResult:
    """Remove what quotes erased predictions, and name what cannot be rewritten.

    Args:
        store: whose tombstones say what was erased.
        tracking: MLflow, and VAR_DIR with the reports.
        before: predictions from before then were pruned: pages that quote texts of windows which begin earlier go, too.

    Raises:
        PredictionStoreError: the tombstones cannot be read.
    """
    with store.reading() as connection:
        moments = erased_moments(connection)
    found = SweepResult()
    hit = _Windows(moments, before)
    _sweep_folders(tracking.folder("monitoring"), hit, found)
    _sweep_tables(tracking.folder("reports"), store, found)
    _sweep_caches(tracking, found)
    try:
        registry = ModelRegistry(tracking)
        _sweep_checks(registry, hit, found)
        _sweep_versions(registry, store, found)
    except StoreError as error:
        found.remaining.append(f"MLflow was not searched, for it does not answer: {error}")
    return found


@dataclass(frozen=True)
class _Windows:
    """Which windows hold a prediction that was erased."""

    moments: Sequence[float]
    before: float | None

    def hold(self, since: float, until: float) -> bool:
        """Whether one was answered at `since` <= time < `until`, or was pruned from there."""
        if self.before is not None and since < self.before:
            return True
        # A verdict tells its window in whole seconds.
        place = bisect_left(self.moments, since - 1)
        return place < len(self.moments) and self.moments[place] < until + 1


def _sweep_folders(parent: Path, hit: _Windows, found: SweepResult) -> None:
    for folder in sorted(parent.iterdir()):
        if not folder.is_dir() or folder.is_symlink():
            continue
        window = _window_of(folder / "verdict.json")
        if window is None or not hit.hold(*window):
            continue
        for name in _PAGES:
            page = folder / name
            if page.is_file() and _quotes(page):
                page.write_text(_REMOVED, encoding="utf-8")
                found.removed.append(str(page))


def _window_of(verdict: Path) -> tuple[float, float] | None:
    try:
        window = json.loads(verdict.read_text(encoding="utf-8"))["window"]
        return moment_of(window["since"]), moment_of(window["until"])
    except (OSError, ValueError, KeyError, TypeError, BadWindow):
        return None


def _quotes(page: Path) -> bool:
    content = page.read_text(encoding="utf-8", errors="replace")
    return any(heading in content for heading in _QUOTES)


def _sweep_tables(parent: Path, store: PredictionStore, found: SweepResult) -> None:
    """Reports of trainings whose tables of wrong answers quote an erased text."""
    for table in sorted(path for name in _QUOTING_TABLES for path in parent.rglob(name)):
        if table.is_file() and _has_erased(_texts_of(table), store):
            for name in _QUOTING_FILES:
                if (page := table.with_name(name)).is_file():
                    page.unlink()
                    found.removed.append(str(page))


def _sweep_caches(tracking: TrackingSettings, found: SweepResult) -> None:
    """Tokenised texts are made again when they are needed; what an interrupted training left is named."""
    for entry in sorted(tracking.folder("tokens").iterdir()):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
            found.removed.append(str(entry))
    for folder in sorted(tracking.folder("training").iterdir()):
        if folder.is_dir():
            found.remaining.append(
                f"{folder} is left by an interrupted training and may hold texts: `--fresh` or seven days remove it"
            )


def _sweep_checks(registry: ModelRegistry, hit: _Windows, found: SweepResult) -> None:
    """Pages of earlier checks in MLflow."""
    client = registry.client
    experiment = client.get_experiment_by_name(MLFLOW_EXPERIMENT)
    if experiment is None:
        return
    for run in _runs(client, experiment.experiment_id):
        try:
            window = moment_of(run.data.tags["window_since"]), moment_of(run.data.tags["window_until"])
        except (KeyError, BadWindow):
            continue
        if not hit.hold(*window):
            continue
        for name in [item.path for item in client.list_artifacts(run.info.run_id)]:
            if name in _PAGES and _artifact_matches(client, run, name, _quotes):
                _delete_artifact(run, name, found)


def _sweep_versions(registry: ModelRegistry, store: PredictionStore, found: SweepResult) -> None:
    """Bundles, and the tables of the runs that made them."""
    client = registry.client
    for model in registry.versions():
        title = f"{model.name} version {model.version}"
        try:
            folder = registry.fetch(model)
            parts = [
                name
                for name, texts in (
                    ("reference.parquet", list(map(str, read_reference(folder)["text"]))),
                    ("golden.json", read_golden(folder)[0]),
                )
                if _has_erased(texts, store)
            ]
        except (BundleError, StoreError, OSError, ValueError) as error:
            found.remaining.append(f"{title} was not searched: {error}")
            continue
        if parts:
            found.remaining.append(
                f"{title} holds an erased text in {' and '.join(parts)}, and is sealed: monitoring leaves it out; "
                f"retrain, and delete the version and {folder}"
            )
        try:
            run = client.get_run(model.run_id)
            for path in list(_artifacts(client, model.run_id)):
                if path.rpartition("/")[2] in _QUOTING_TABLES and _artifact_matches(
                    client, run, path, lambda file: _has_erased(_texts_of(file), store)
                ):
                    parent = path.rpartition("/")[0]
                    for name in _QUOTING_FILES:
                        _delete_artifact(run, f"{parent}/{name}" if parent else name, found)
        except Exception as error:  # a run that was deleted, a store of artifacts that is away
            found.remaining.append(f"the run of {title} was not searched: {type(error).__name__}")


def _runs(client: Any, experiment_id: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=500, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _artifacts(client: Any, run_id: str, path: str | None = None) -> Iterator[str]:
    for item in client.list_artifacts(run_id, path):
        if item.is_dir:
            yield from _artifacts(client, run_id, item.path)
        else:
            yield str(item.path)


def _artifact_matches(client: Any, run: Any, path: str, condition: Any) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return bool(condition(Path(client.download_artifacts(run.info.run_id, path, folder))))


def _delete_artifact(run: Any, path: str, found: SweepResult) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    where = f"{path} of the MLflow run {run.info.run_id}"
    try:
        get_artifact_repository(run.info.artifact_uri).delete_artifacts(path)  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        return
    except Exception as error:  # not every store of artifacts can delete
        found.remaining.append(f"{where} could not be deleted: {type(error).__name__}")
    else:
        found.removed.append(where)


def _texts_of(table: Path) -> list[str]:
    """The texts of a table of ours, also without the apostrophe that guards against spreadsheets."""
    csv.field_size_limit(sys.maxsize)
    try:
        with table.open(encoding="utf-8", errors="replace", newline="") as file:
            texts = [row.get("text") or "" for row in csv.DictReader(file)]
    except (OSError, csv.Error):
        return []
    return [*texts, *(text[1:] for text in texts if text.startswith("'"))]


def _has_erased(texts: Iterable[str], store: PredictionStore) -> bool:
    wanted = list(texts)
    wanted += [text.strip() for text in wanted if text != text.strip()]
    with store.reading() as connection:
        return bool(erased_texts(connection, wanted))
