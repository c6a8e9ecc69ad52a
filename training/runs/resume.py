"""Resume an interrupted run, or one that failed after training, without training again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError
from rich.progress import Progress

from classifier.manifest import sha256_of
from stores.names import file_name
from stores.registry import ModelRegistry
from training.data import Splits
from training.experiment.schema import Experiment
from training.kinds.candidate import Candidate
from training.logs import fields
from training.models.fingerprint import training_identity, training_inputs
from training.models.result import EpochCallback, Trained, TrainingContext, ignore_epochs
from training.settings import TrainingSettings

RECORDS = "training"
"""Folder of a report, and of a candidate's artifacts, for what is kept of trainings."""

_NOTE, _TRAINED = "run.json", "trained.json"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")
_KEPT_DAYS = 7
"""Days after which interrupted runs are deleted."""

logger = logging.getLogger("training")


@dataclass
class RunFolder:
    """Where a run works."""

    scratch: Path
    """Removed when the run has ended, except for what `keep` names."""
    report: Path
    """Pictures and figures; stays."""
    broken_off: str | None
    """The interrupted MLflow run that this one continues."""
    run_id: str = ""
    """The MLflow run of this one."""
    identity: str = field(default_factory=lambda: secrets.token_hex(16))
    """The same when an interrupted run is continued, however often."""
    records: dict[str, str] = field(default_factory=dict)
    """Candidate → identity of the training whose records and pictures the report has."""
    kept: set[Path] = field(default_factory=set)
    """Candidates' folders that outlive the run."""

    def context(
        self, name: str, experiment: Experiment, splits: Splits, registry: ModelRegistry, progress: Progress
    ) -> TrainingContext:
        """Where a candidate is trained: in the same folder again for the same training identity.

        What another configuration of the same name has left in the report is removed.
        """
        context = training_context(
            name, experiment.candidates[name], splits, experiment.seed, self.scratch, registry, progress,
            candidates=experiment.candidates,
        )  # fmt: skip
        records = self.report / RECORDS / name
        if self.records.get(name) != context.identity:
            for folder in (records, self.report / name):
                shutil.rmtree(folder, ignore_errors=True)
            self.records[name] = context.identity
            self._write_note()
        return replace(context, records=records)

    def keep(self, scratch: Path) -> bool:
        """Let a candidate's folder outlive the run, if a later one can continue from it; whether it can."""
        if _is_resumable(scratch):
            self.kept.add(scratch)
        return scratch in self.kept

    def note(self, run_id: str) -> None:
        """Note which MLflow run works here, for the one that may have to continue it."""
        self.run_id = run_id
        self._write_note()

    @property
    def is_resumable(self) -> bool:
        """Whether a later run can continue from what is here."""
        return _is_resumable(self.scratch)

    def _write_note(self) -> None:
        facts = {
            "identity": self.identity,
            "run_id": self.run_id,
            "report": str(self.report),
            "records": self.records,
        }
        part = self.scratch / f"{_NOTE}.part"
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(self.scratch / _NOTE)


def training_context(
    name: str,
    config: Candidate,
    splits: Splits,
    seed: int,
    root: Path,
    registry: ModelRegistry,
    progress: Progress,
    *,
    candidates: Mapping[str, Candidate] | None = None,
    watch: EpochCallback = ignore_epochs,
) -> TrainingContext:
    """Where and how a candidate is trained: in the same folder of `root` again for the same training identity.

    Args:
        name: of the training, in MLflow and on the console.
        config: of the candidate.
        splits: its texts.
        seed: its seed.
        root: folder of the run, the comparison or the search.
        registry: where a teacher that is a version is found, and the training is logged.
        progress: where the training shows how far it is.
        candidates: every candidate of the experiment where one may teach another.
        watch: called after each evaluation; what it raises ends the training.
    """
    settings, candidates = TrainingSettings(), candidates or {}
    inputs = training_inputs(config, candidates, splits, seed, registry)
    identity = training_identity(config, splits, seed, inputs)
    scratch = root / f"{_NOT_PLAIN.sub('-', name)}-{identity[:12]}"
    (scratch / "bundle").mkdir(parents=True, exist_ok=True)
    return TrainingContext(
        name, scratch / "bundle", scratch, seed, progress, registry,
        siblings=dict.fromkeys(candidates),
        watch=watch,
        tokens=settings.tokens,
        resume=True,
        identity=identity,
        inputs=inputs,
        signing_key=settings.checkpoint_key,
    )  # fmt: skip


@contextmanager
def run_folder(experiment: Experiment, splits: Splits, *, fresh: bool = False) -> Iterator[RunFolder]:
    """The folder of a run, locked: with what an interrupted run has left in it, unless `fresh`.

    Of two concurrent runs of the same experiment, the second uses a new folder and starts from the beginning.
    """
    settings = TrainingSettings()
    scratch, lock = _free_folder(settings, _key(experiment, splits))
    try:
        _remove_forgotten(settings)
        if fresh:
            for path in scratch.iterdir():
                _remove(path)
        before = _read_note(scratch)
        if before:
            report = Path(before["report"])
        else:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
            report = settings.reports / f"{file_name(experiment.name)}-{stamp}"
        report.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(scratch, report, before.get("run_id"), records=before.get("records", {}))
        folder.identity = before.get("identity") or folder.identity
        yield folder
    except BaseException:
        if not _is_resumable(scratch):
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    else:
        _remove_finished(folder)
    finally:
        lock.release()


@contextmanager
def working_folder(name: str) -> Iterator[Path]:
    """A locked folder for the trainings called `name`, removed at the end unless a later one can continue from it."""
    path, lock = _free_folder(TrainingSettings(), _named(name, name))
    try:
        yield path
    finally:
        if not _is_resumable(path):
            shutil.rmtree(path, ignore_errors=True)
        lock.release()


def save_trained(context: TrainingContext, trained: Trained) -> None:
    """Note that a candidate is trained, and with which files; its checkpoints are not needed any more."""
    files = {path.name: sha256_of(path) for path in sorted(context.bundle.iterdir()) if path.is_file()}
    facts = {
        "identity": context.identity,
        "trained": _ADAPTER.dump_python(trained, mode="json"),
        "files": files,
    }
    part = context.scratch / f"{_TRAINED}.part"
    part.write_text(json.dumps(facts), encoding="utf-8")
    part.replace(context.scratch / _TRAINED)
    shutil.rmtree(context.scratch / "checkpoints", ignore_errors=True)


def load_trained(context: TrainingContext) -> Trained | None:
    """What `save_trained` noted, the bundle as it was then; None where nothing, or not all of it, is there.

    In the latter case the bundle's folder is emptied: no file of another training stays in it.
    """
    path = context.scratch / _TRAINED
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["identity"] != context.identity:
            raise ValueError(
                "it was trained with another configuration, other texts, libraries or a different teacher"
            )
        trained = _ADAPTER.validate_python(facts["trained"])
        for file in list(context.bundle.iterdir()):
            if file.name not in facts["files"]:  # made by what came after training
                _remove(file)
        trained.description.write(context.bundle)
        if any(_changed(context.bundle / name, expected) for name, expected in facts["files"].items()):
            raise ValueError("a file of the bundle is missing, or not what was written")
    except FileNotFoundError:
        _empty(context)
        return None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        logger.warning("trained_anew", extra=fields(candidate=context.name, why=str(error)))
        _empty(context)
        return None
    return trained


_ADAPTER = TypeAdapter(Trained)


def _key(experiment: Experiment, splits: Splits) -> str:
    """Name of the folder of every run of the same experiment, texts and seed."""
    # The name itself, too: a file system may ignore its case.
    return _named(experiment.name, f"{splits.fingerprint} {experiment.seed} {experiment.name}")


def _named(name: str, facts: str) -> str:
    return f"{file_name(name)}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def _free_folder(settings: TrainingSettings, key: str) -> tuple[Path, FileLock]:
    """A folder for the runs of `key` that no other process works in, and its lock; first one with work to resume."""
    root = settings.scratch
    left = [path for path in sorted(root.glob(f"{escape(key)}*")) if path.is_dir() and _is_resumable(path)]
    for path in (*left, root / key):
        if lock := _locked(path, settings):
            path.mkdir(exist_ok=True)
            return path, lock
    path = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=root))
    lock = _locked(path, settings)
    assert lock is not None, "this is a bug: a folder that was made just now is locked"
    return path, lock


def _locked(folder: Path, settings: TrainingSettings) -> FileLock | None:
    """The lock of a run's folder; None where another process holds it.

    The file is not in the folder: removed with it, it would be two locks for processes that opened it before and after.
    """
    lock = FileLock(settings.folder("locks") / f"{folder.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def _read_note(scratch: Path) -> dict[str, Any]:
    try:
        note = json.loads((scratch / _NOTE).read_text(encoding="utf-8"))
        records = note.get("records", {})
        if not isinstance(records, Mapping):
            return {}
        identity = str(note.get("identity", ""))
        return {
            "run_id": str(note["run_id"]), "report": str(note["report"]), "records": dict(records),
            "identity": identity if re.fullmatch("[0-9a-f]{32}", identity) else "",
        }  # fmt: skip
    except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _is_resumable(folder: Path) -> bool:
    """Whether a trained candidate, or a checkpoint, is somewhere in `folder`."""
    return any(
        _TRAINED in files or any(name.startswith("checkpoint-") for name in folders)
        for _, folders, files in os.walk(folder)
    )


def _remove_finished(folder: RunFolder) -> None:
    """Remove a run's folder but for the candidates that are kept; what stays belongs to no interrupted run."""
    if not folder.kept:
        shutil.rmtree(folder.scratch, ignore_errors=True)
        return
    for path in folder.scratch.iterdir():
        if path not in folder.kept:
            _remove(path)


def _remove_forgotten(settings: TrainingSettings) -> None:
    """Remove the folders of runs that were interrupted long ago."""
    longest_ago = time.time() - _KEPT_DAYS * 24 * 3600
    for folder in settings.scratch.iterdir():
        with suppress(FileNotFoundError):  # another process was faster
            if (
                folder.is_dir()
                and folder.stat().st_mtime < longest_ago
                and (lock := _locked(folder, settings))
            ):
                logger.info("interrupted_run_removed", extra=fields(folder=folder.name))
                shutil.rmtree(folder, ignore_errors=True)
                lock.release()


def _changed(path: Path, expected: str) -> bool:
    return not path.is_file() or sha256_of(path) != expected


def _empty(context: TrainingContext) -> None:
    (context.scratch / _TRAINED).unlink(missing_ok=True)
    shutil.rmtree(context.bundle, ignore_errors=True)
    context.bundle.mkdir(parents=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
