"""Damaged bundles and experiment files: refused by an error of the project, or usable."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np

from classifier import Classifier, ClassifierError
from classifier.manifest import write_manifest
from drills.champion import bundle
from drills.mutations import changed, damaged
from drills.registry import Bench, Outcome, drill
from stores.errors import StoreError

_SEALED = 0.6
"""Share of the bundles whose manifest is written anew, so that the hashes fit and the content alone is wrong."""


def _damage(folder: Path, drawn: Random) -> str:
    """Damage one file of a bundle; which, and how."""
    name = drawn.choice(sorted(path.name for path in folder.iterdir() if path.is_file()))
    path = folder / name
    how = "bytes"
    match drawn.randrange(10):
        case 0:
            path.unlink()
            how = "missing"
        case 1:
            (folder / drawn.choice(("extra.bin", "__init__.py", "pickle.pkl"))).write_bytes(b"\x80\x04.")
            how = "an extra file"
        case 2:
            path.write_bytes(b"")
            how = "empty"
        case 3:
            path.unlink()
            path.mkdir()
            how = "a folder"
        case _ if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps(changed(content, drawn)), encoding="utf-8")
            how = "changed"
        case _:
            path.write_bytes(damaged(path.read_bytes(), drawn))
    return f"{name}: {how}"


def _load(folder: Path) -> tuple[str, str | None]:
    try:
        found = Classifier.load(folder).predict(["Shares fell in London."])
    except ClassifierError as error:
        return type(error).__name__, None
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {str(error)[:200]}"
    if not np.isfinite(found).all() or not np.allclose(found.sum(axis=1), 1, atol=1e-3):
        return "wrong answers", "loaded, and its probabilities are not probabilities"
    return "usable", None


@drill(
    "bundles.mutated",
    promise="A damaged bundle is refused by a ClassifierError before it answers, or answers with probabilities.",
    limit=240,
)
def mutated(bench: Bench) -> Outcome:
    """At least 200 bundles with one damaged file; most of them with hashes that fit."""
    drawn = bench.random()
    ends: Counter[str] = Counter()
    faults = []
    tried, slowest = bench.count(220, least=10), 0.0
    for number in range(tried):
        folder = bench.folder / f"bundle-{number:04d}"
        shutil.copytree(bundle(bench), folder)
        what = _damage(folder, drawn)
        if drawn.random() < _SEALED and "manifest" not in what:
            write_manifest(folder, data={})
        began = time.monotonic()
        end, fault = _load(folder)
        slowest = max(slowest, time.monotonic() - began)
        ends[end] += 1
        if fault:
            faults.append(f"{folder} ({what}): {fault}")
        else:
            shutil.rmtree(folder)
    said = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    return Outcome(f"{tried} bundles: {said}; the slowest took {slowest:.1f} s", faults)


@drill(
    "bundles.experiments",
    promise="A damaged experiment file is refused by a sentence, or describes an experiment; nothing runs before.",
    limit=180,
)
def experiments(bench: Bench) -> Outcome:
    """At least 200 experiment files with damaged bytes, or with values of another kind."""
    import yaml

    from training.errors import TrainingError
    from training.experiment.loader import EXPERIMENTS, load_experiment

    drawn = bench.random()
    ends: Counter[str] = Counter()
    faults = []
    sources = sorted(EXPERIMENTS.glob("*.yaml"))
    tried = bench.count(220, least=10)
    for number in range(tried):
        source = sources[number % len(sources)]
        path = bench.folder / f"{number:04d}-{source.name}"
        if number % 2:
            path.write_bytes(damaged(source.read_bytes(), drawn))
        else:
            path.write_text(
                yaml.safe_dump(changed(yaml.safe_load(source.read_text(encoding="utf-8")), drawn)),
                encoding="utf-8",
            )
        try:
            load_experiment(str(path))
            ends["described"] += 1
        except (TrainingError, StoreError):
            ends["refused"] += 1
        except Exception as error:
            ends["traceback"] += 1
            faults.append(f"{path}: {type(error).__name__}: {str(error)[:200]}")
    return Outcome(
        f"{tried} files: " + ", ".join(f"{count} {end}" for end, count in ends.most_common()), faults
    )
