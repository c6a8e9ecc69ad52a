"""`python -m training distill`: train students of the champion, on its own data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from classifier import BundleError
from stores.bundles import find_bundle
from stores.errors import BadModelReference, NotABundle
from stores.model_ref import ModelRef
from stores.settings import SigningSettings, TrackingSettings
from training.config.distillation import DistillationConfig
from training.errors import TeacherUnusable
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment

DEFAULT = "distillation"
_OWN = Path("report") / "experiment.yaml"


def distillation(experiment: str | None, teacher: str, overrides: Sequence[str] = ()) -> Experiment:
    """EXPERIMENT with every student taught by `teacher`.

    Without an experiment it is `distillation`, on the data, split and seed that the teacher learned with: so none of
    the texts held out is known to the teacher.

    Raises:
        ExperimentInvalid: the experiment is not valid.
        TeacherUnusable: there is no such teacher, or the experiment has no student.
        ModelNotRegistered, RegistryUnavailable: the registry has no such version, or does not answer.
    """
    if experiment is not None:
        loaded = load_experiment(experiment, overrides)
        if teacher not in loaded.candidates:
            teacher_folder(teacher)  # it is missed now, and not when all others have been trained
    else:
        own = _data_of(teacher_folder(teacher))
        loaded = load_experiment(DEFAULT, [*own, *overrides])
    students = {
        name: config for name, config in loaded.candidates.items() if isinstance(config, DistillationConfig)
    }
    if not students:
        raise TeacherUnusable(
            f"{loaded.name} has no student: a candidate of kind `distilled` or `distilled_linear`"
        )
    taught = {name: config.model_copy(update={"teacher": teacher}) for name, config in students.items()}
    return loaded.model_copy(update={"candidates": {**loaded.candidates, **taught}})


def teacher_folder(teacher: str) -> Path:
    """Where the bundle of `teacher`, a reference to a model, is; fetched if it must be.

    Raises:
        TeacherUnusable: it is no such reference, or cannot be had.
        ModelNotRegistered, RegistryUnavailable: see `ModelRegistry`.
    """
    try:
        return find_bundle(ModelRef.parse(teacher), TrackingSettings(), SigningSettings().keys).folder
    except BadModelReference as error:
        raise TeacherUnusable(f"there is no teacher {teacher!r}: {error}") from None
    except (BundleError, NotABundle) as error:
        raise TeacherUnusable(f"the teacher {teacher!r} cannot be had: {error}") from None


def _data_of(bundle: Path) -> list[str]:
    """Data and seed of the experiment that made `bundle`, as overrides; none where it does not say."""
    path = bundle / _OWN
    if not path.is_file():
        return []
    own = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        f"{key}={yaml.safe_dump(own[key], default_flow_style=True, width=10**6)}" for key in ("data", "seed")
    ]
