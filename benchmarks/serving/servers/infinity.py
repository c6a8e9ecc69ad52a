"""Makes what infinity needs before it can be started: its environment, and weights that say where texts are cut."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.serving.environment import make_environment

LOCK = Path(__file__).parents[3] / "requirements" / "infinity.lock"


def main(environment: Path, weights: Path) -> None:
    """Install it in `environment`, and copy the network in the folder WEIGHTS to `weights`."""
    make_environment(LOCK, environment)
    copy_weights(Path(os.environ["WEIGHTS"]), weights, max_length=int(os.environ["MAX_LENGTH"]))


def copy_weights(source: Path, target: Path, *, max_length: int) -> None:
    """Copy a network whose tokenizer shall cut at `max_length` tokens; infinity has no option for that."""
    shutil.copytree(source, target)
    path = target / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "model_max_length": max_length}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
