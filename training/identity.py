"""What a trained candidate follows from: the same identity, the same result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from classifier.manifest import library_versions
from training.candidates.kinds import Candidate
from training.data import Splits

_AFTERWARDS: dict[str, Any] = {
    "note": True,
    "baseline": True,
    "parity_tolerance": True,
    "course": {"keep", "tensorboard"},
}
"""Keys of a configuration that change nothing about the training."""


def training_identity(config: Candidate, splits: Splits, seed: int) -> str:
    """SHA-256 over the configuration, the texts, the seed and the libraries, as 64 hexadecimal digits."""
    facts = [
        config.model_dump(mode="json", exclude=_AFTERWARDS),
        splits.fingerprint,
        seed,
        library_versions(),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
