"""The experiment that made a version, as a file that travels with it and can be run again.

A bundle's `report/experiment.yaml` is the resolved experiment of the run that made it: every default written out, every
`--set` applied, paths absolute, the registered name in it. Where the run of a version is to be repeated in another way
than it was made, `report/rerun.yaml` says how: without what `--once` set for that run only (the live texts and
RETRAIN_SET of a retraining), and with the candidates that a search found in place of the search.

Usage::

    load_experiment("models:/tickets/3")        # what `python -m training run models:/tickets/3` does
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from classifier.errors import BundleError
from classifier.manifest import verify_manifest
from stores.bundles import find_bundle
from stores.errors import BadModelReference, NotABundle
from stores.model_ref import ModelRef
from stores.settings import SigningSettings, TrackingSettings
from training.config.data import PACKAGED, STORE
from training.data.loading import is_file_source
from training.errors import ExperimentInvalid
from training.experiment.schema import Experiment

EXPERIMENT_FILE, RERUN_FILE = "experiment.yaml", "rerun.yaml"
_NAMES = (PACKAGED, STORE)
"""Values of a `source` that name no file, whatever lies in the working directory."""
_FOLDERS = ("weights", "teacher", "teacher_weights")
"""Keys of a candidate that may be the path of a folder."""


def experiment_file(uri: str) -> Path:
    """The experiment in the bundle that `uri` names (`stores.model_ref`), whose hashes are checked.

    Raises:
        ExperimentInvalid: no such reference, the bundle is damaged or not trusted, or it holds no experiment.
        ModelNotRegistered, RegistryUnavailable: see `ModelRegistry`.
    """
    try:
        found = find_bundle(ModelRef.parse(uri), TrackingSettings(), SigningSettings().keys)
        folder = found.folder
        verify_manifest(folder, signing_key=found.manifest_keys)
    except BadModelReference as error:
        raise ExperimentInvalid(str(error)) from None
    except (BundleError, NotABundle) as error:
        raise ExperimentInvalid(f"the experiment of {uri} cannot be used: {error}") from None
    for name in (RERUN_FILE, EXPERIMENT_FILE):
        path = folder / "report" / name
        if path.is_file():
            return path
    raise ExperimentInvalid(
        f"{uri} carries no experiment (report/{EXPERIMENT_FILE}), so it cannot be run again: name an experiment or its "
        "file instead; for retrainings that is the setting MONITORING_EXPERIMENT"
    )


def resolved_yaml(experiment: Experiment, model_name: str) -> str:
    """`experiment` as a file that gives the same run from any working directory, registered as `model_name`."""
    raw = experiment.model_dump(mode="json")
    raw["model_name"] = model_name
    _with_absolute_paths(raw)
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)


def rerun_yaml(experiment: Experiment, model_name: str) -> str:
    """`experiment` as a later retraining is to run it; the same as `resolved_yaml` for most."""
    again = experiment.without_once
    if again.search is not None:
        found = {**again.candidates, **experiment.candidates}
        again = again.model_copy(update={"candidates": found, "search": None, "phases": {}})
    return resolved_yaml(again, model_name)


def _with_absolute_paths(values: Any) -> None:
    """Make every path of a file or folder absolute, in place."""
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        if not isinstance(value, str):
            _with_absolute_paths(value)
        elif _is_path(key, value):
            values[key] = str(Path(value).resolve())


def _is_path(key: str, value: str) -> bool:
    if key == "source":
        return value not in _NAMES and is_file_source(value)
    return key in _FOLDERS and Path(value).is_dir()
