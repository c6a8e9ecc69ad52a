"""Cache key of a training: a hash of everything that determines its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from classifier.manifest import MANIFEST_FILE, library_versions, sha256_of
from stores.bundles import find_version, registry_of
from stores.errors import StoreError
from stores.model_ref import ModelRef
from stores.registry import ModelRegistry
from training.config.candidate import CandidateConfig
from training.data import Splits

_AFTERWARDS: dict[str, Any] = {
    "note": True,
    "baseline": True,
    "max_unknown": True,
    "parity_tolerance": True,
    "schedule": {"keep", "tensorboard"},
}
"""Keys of a configuration that do not change what is trained: reports, notes, and checks before or after training."""


def training_identity(
    config: CandidateConfig, splits: Splits, seed: int, inputs: Mapping[str, str] | None = None
) -> str:
    """SHA-256 over the configuration, the texts, the seed, the libraries and `inputs`, as 64 hexadecimal digits.

    Resuming a run, a search and a seed comparison all go by it: what has the same identity is not trained again.

    Args:
        config: the candidate's configuration.
        splits: its texts.
        seed: its seed.
        inputs: what the configuration only names, such as a teacher or a folder of weights; see `training_inputs`.
    """
    facts: list[Any] = [
        config.model_dump(mode="json", exclude=_AFTERWARDS),
        splits.fingerprint,
        seed,
        library_versions(),
    ]
    if inputs:
        facts.append(dict(inputs))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def training_inputs(
    config: CandidateConfig,
    candidates: Mapping[str, CandidateConfig],
    splits: Splits,
    seed: int,
    registry: ModelRegistry | None,
) -> dict[str, str]:
    """Content behind the names in `config`: other candidates, a teacher, weights in a folder; name → hash or id.

    Args:
        config: the candidate's configuration.
        candidates: every candidate of the experiment, one of which may be the teacher.
        splits: the texts.
        seed: the seed of the run.
        registry: where a teacher that is a version is registered. A teacher that cannot be found is left out: training
            says so.
    """
    named = {
        "weights": getattr(config, "weights", None),
        "teacher_weights": getattr(getattr(config, "self_training", None), "teacher_weights", None),
    }
    found = {key: _folder_state(Path(path)) for key, path in named.items() if path and Path(path).is_dir()}
    for name in config.built_on:
        other = candidates.get(name)
        if other is not None and other is not config:
            theirs = training_inputs(other, candidates, splits, seed, registry)
            found[f"candidate {name}"] = training_identity(other, splits, seed, theirs)
    teacher = getattr(config, "teacher", None)
    if teacher is None or teacher in candidates:
        return found
    if (manifest := Path(teacher) / MANIFEST_FILE).is_file():
        found["teacher"] = sha256_of(manifest)
    elif registry is not None:
        try:
            reference = ModelRef.parse(teacher)
            where = registry_of(reference, registry.settings) if reference.name else registry
            found["teacher"] = find_version(reference, where).model_id
        except StoreError:
            pass
    return found


def _folder_state(folder: Path) -> str:
    """Hash of the names and contents of a folder's files: the same on each machine of a search that has a copy."""
    files = [(path, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    facts = [(path.name, _content(path, found.st_size, found.st_mtime_ns)) for path, found in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _content(path: Path, size: int, modified: int) -> str:  # noqa: ARG001  part of the key: read again when changed
    return sha256_of(path)
