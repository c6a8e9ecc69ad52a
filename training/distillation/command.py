"""`python -m training distill`: an experiment whose students learn from the champion, on the champion's own data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from stores.models import ModelRegistry
from stores.settings import TrackingSettings
from training.distillation.config import CHAMPION, Lesson
from training.errors import TeacherUnusable
from training.experiment import Experiment, load_experiment

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
    students = {name: config for name, config in loaded.candidates.items() if isinstance(config, Lesson)}
    if not students:
        raise TeacherUnusable(
            f"{loaded.name} has no student: a candidate of kind `distilled` or `distilled_linear`"
        )
    taught = {name: config.model_copy(update={"teacher": teacher}) for name, config in students.items()}
    return loaded.model_copy(update={"candidates": {**loaded.candidates, **taught}})


def teacher_folder(teacher: str) -> Path:
    """Where the bundle of `teacher` (`champion`, a version, or a folder) is, fetched if it must be.

    Raises:
        TeacherUnusable: it is none of these.
        ModelNotRegistered, RegistryUnavailable: see `ModelRegistry`.
    """
    if Path(teacher).is_dir():
        return Path(teacher)
    if teacher != CHAMPION and not teacher.isdigit():
        raise TeacherUnusable(
            f"there is no teacher {teacher!r}: it is `champion`, a version's number, or a bundle's folder"
        )
    registry = ModelRegistry(TrackingSettings())
    return registry.fetch(
        registry.by_alias(CHAMPION) if teacher == CHAMPION else registry.by_version(teacher)
    )


def _data_of(bundle: Path) -> list[str]:
    """Data and seed of the experiment that made `bundle`, as overrides; none where it does not say."""
    path = bundle / _OWN
    if not path.is_file():
        return []
    own = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        f"{key}={yaml.safe_dump(own[key], default_flow_style=True, width=10**6)}" for key in ("data", "seed")
    ]
