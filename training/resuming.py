"""A run that was broken off is not lost: the next run of the same experiment goes on where it was.

Everything that a run is making stands in one folder under `var/training`, named for the experiment, its data and its
seed. A run that ends removes it; one that is killed, or whose registry does not answer in the end, leaves it. In it
each candidate has a folder named for its configuration, so a run with another gate, or a further candidate, still finds
what is trained. Training is a function of configuration, texts and seed, so it makes no difference to the result.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from classifier.manifest import sha256_of
from training.candidates.kinds import Candidate
from training.candidates.trained import Trained, Workplace
from training.data import Splits
from training.experiment import Experiment
from training.identity import training_identity
from training.settings import TrainingSettings

_LOCK, _NOTE, _TRAINED = ".lock", "run.json", "trained.json"
_KEPT_DAYS = 7
"""What nobody has gone on with by then is removed."""

logger = logging.getLogger("training")


@dataclass(frozen=True)
class RunFolder:
    """Where a run is made."""

    scratch: Path
    """Removed when the run has come to its end."""
    report: Path
    """Pictures and figures; stays."""
    broken_off: str | None
    """MLflow run that was broken off, and that this one goes on with."""

    def candidate(self, name: str, config: Candidate, splits: Splits, seed: int) -> Path:
        """The folder of a candidate: the same again for the same configuration, texts and seed."""
        return self.scratch / f"{name}-{training_identity(config, splits, seed)[:12]}"

    def note(self, run_id: str) -> None:
        """Note which MLflow run is making this, for the one that may have to go on."""
        facts = {"run_id": run_id, "report": str(self.report)}
        (self.scratch / _NOTE).write_text(json.dumps(facts), encoding="utf-8")


@contextmanager
def run_folder(experiment: Experiment, splits: Splits, *, fresh: bool = False) -> Iterator[RunFolder]:
    """The folder of a run, to itself: what a broken-off run has left in it, unless `fresh`.

    Two runs of the same at once do not meet: the second makes its own, from the start.
    """
    settings = TrainingSettings()
    key = hashlib.sha256(f"{splits.fingerprint} {experiment.seed}".encode()).hexdigest()[:12]
    scratch = settings.scratch / f"{experiment.name}-{key}"
    lock = _locked(scratch)
    if lock is None:
        scratch = Path(tempfile.mkdtemp(prefix=f"{experiment.name}-{key}-", dir=settings.scratch))
        lock = _locked(scratch)
        assert lock is not None
    try:
        _remove_forgotten(settings.scratch)
        if fresh:
            for path in scratch.iterdir():
                _remove(path)
        before = _read_note(scratch)
        if before:
            report = Path(before["report"])
        else:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
            report = settings.reports / f"{experiment.name}-{stamp}"
        report.mkdir(exist_ok=True)
        yield RunFolder(scratch, report, before.get("run_id"))
    except BaseException:
        if not _worth_keeping(scratch):
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    finally:
        lock.release()


def keep_trained(workplace: Workplace, trained: Trained) -> None:
    """Note that a candidate is trained, and with which files; its checkpoints are not needed any more."""
    files = {path.name: sha256_of(path) for path in sorted(workplace.bundle.iterdir()) if path.is_file()}
    facts = {"trained": _ADAPTER.dump_python(trained, mode="json"), "files": files}
    part = workplace.scratch / f"{_TRAINED}.part"
    part.write_text(json.dumps(facts), encoding="utf-8")
    part.replace(workplace.scratch / _TRAINED)
    shutil.rmtree(workplace.scratch / "checkpoints", ignore_errors=True)


def trained_before(workplace: Workplace) -> Trained | None:
    """What `keep_trained` noted, the bundle as it was then; None where nothing, or not all of it, is there."""
    path = workplace.scratch / _TRAINED
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        trained = _ADAPTER.validate_python(facts["trained"])
        for file in list(workplace.bundle.iterdir()):
            if file.name not in facts["files"]:  # made by what came after training
                _remove(file)
        trained.description.write(workplace.bundle)
        if any(sha256_of(workplace.bundle / name) != expected for name, expected in facts["files"].items()):
            raise ValueError("a file of the bundle is not what was written")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, ValidationError) as error:
        logger.warning("trained anew", extra={"candidate": workplace.name, "why": str(error)})
        return None
    return trained


_ADAPTER = TypeAdapter(Trained)


def _locked(folder: Path) -> FileLock | None:
    """The lock of a run's folder; None where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def _read_note(scratch: Path) -> dict[str, str]:
    try:
        note = json.loads((scratch / _NOTE).read_text(encoding="utf-8"))
        return {"run_id": str(note["run_id"]), "report": str(note["report"])}
    except (FileNotFoundError, ValueError, KeyError):
        return {}


def _worth_keeping(scratch: Path) -> bool:
    """Whether there is anything to go on with."""
    return any(scratch.glob(f"*/{_TRAINED}")) or any(scratch.glob("*/checkpoints/checkpoint-*"))


def _remove_forgotten(root: Path) -> None:
    """Remove the folders of runs that were broken off long ago."""
    longest_ago = time.time() - _KEPT_DAYS * 24 * 3600
    for folder in root.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < longest_ago and (lock := _locked(folder)):
            logger.info("a broken-off run is removed", extra={"folder": folder.name})
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.name != _LOCK:
        path.unlink()
