"""`python -m training evaluate`: any model on any labelled texts, apart from training: figures, pictures, JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from classifier import BundleError, Classifier
from stores.models import CHALLENGER, CHAMPION, PREVIOUS, ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from training import plots
from training.data import Part, load_data, split_data
from training.errors import EvaluationRefused
from training.evaluation import Scores, evaluate
from training.experiment import Experiment
from training.pictures.over_time import draw_final
from training.report import write_json

_SEED = 42  # of the bootstrap: the same texts and the same model give the same intervals


@dataclass(frozen=True)
class Evaluated:
    """A model on labelled texts."""

    model: str
    """In words: `news, version 7`."""
    source: str
    """Where the texts come from."""
    scores: Scores
    remarks: tuple[str, ...]
    """What a reader should know of the texts."""

    def table(self) -> Table:
        """The headline figures with their intervals, and F1 of each label."""
        table = Table(
            title=f"{self.model} on {self.scores.texts:,} texts of {self.source}", title_justify="left"
        )
        table.add_column("figure")
        for heading in ("value", "interval"):
            table.add_column(heading, justify="right")
        of_labels = {f"F1 of {label}": found.f1 for label, found in self.scores.classes.items()}
        for name, interval in (self.scores.headlines | of_labels).items():
            table.add_row(name, f"{interval.value:.3f}", f"{interval.low:.3f}–{interval.high:.3f}")
        return table

    def as_dict(self) -> dict[str, Any]:
        """Everything for `evaluation.json`."""
        return {
            "model": self.model, "source": self.source, "remarks": list(self.remarks), **self.scores.as_dict()
        }  # fmt: skip


def find_model(wanted: str, registered_as: str | None = None) -> tuple[str, Classifier]:
    """A model in words, and loaded: `champion` or another alias, a version's number, or a bundle's folder.

    Args:
        wanted: which one.
        registered_as: name of the registered model; None: the setting MODEL_NAME.

    Raises:
        EvaluationRefused: it is none of these, or cannot be loaded.
        ModelNotRegistered, RegistryUnavailable: see `ModelRegistry`.
    """
    key = SigningSettings().key
    try:
        if Path(wanted).is_dir():
            return f"bundle {Path(wanted).name}", Classifier.load(wanted, signing_key=key)
        registry = ModelRegistry(
            TrackingSettings(model_name=registered_as) if registered_as else TrackingSettings()
        )
        if wanted.isdigit():
            registered = registry.by_version(wanted)
        elif wanted in (CHAMPION, CHALLENGER, PREVIOUS):
            registered = registry.by_alias(wanted)
        else:
            raise EvaluationRefused(
                f"there is no model {wanted!r}: it is `champion`, `challenger`, `previous`, a version's number, or a "
                "bundle's folder"
            )
        name = f"{registered.name}, version {registered.version}"
        return name, Classifier.load(registry.fetch(registered), signing_key=key)
    except BundleError as error:
        raise EvaluationRefused(f"the model {wanted!r} cannot be loaded: {error}") from None


def texts_to_judge(experiment: Experiment, file: Path | None, part: str) -> tuple[Part, str, tuple[str, ...]]:
    """The texts, where they come from in words, and what became of those that cannot be used.

    Args:
        experiment: whose texts they are, or whose data options say how `file` is read.
        file: a labelled file, of which every usable text is judged once; None: `part` of the experiment's texts.
        part: `train`, `validation`, `test` or `reserve`.

    Raises:
        DataError: they cannot be used.
    """
    config, seed = experiment.data, experiment.seed
    if file is None:
        splits = split_data(load_data(config, seed), config, seed)
        return splits.parts()[part], f"{config.source}, {part}", ()
    loaded = load_data(config.model_copy(update={"source": str(file)}), seed)
    counts = loaded.counts
    dropped = {
        "unusable": counts.refused,
        "exact duplicates": counts.exact_duplicates,
        "copies with other labels": counts.conflicting_labels,
    }
    said = ", ".join(f"{count:,} {what}" for what, count in dropped.items() if count)
    return loaded.part, str(file), ((f"Of {counts.read:,} rows, {said} were left out.",) if said else ())


def evaluate_model(
    model: str, classifier: Classifier, texts: Part, source: str, remarks: tuple[str, ...] = ()
) -> Evaluated:
    """Judge `classifier` on `texts`.

    Raises:
        EvaluationRefused: there are no texts, or labels that the model does not know.
    """
    if not len(texts):
        raise EvaluationRefused(f"{source} has no texts")
    unknown = sorted(set(texts.labels) - set(classifier.labels))
    if unknown:
        raise EvaluationRefused(
            f"{source} has labels that the model does not know: {', '.join(unknown[:10])}. It knows "
            f"{', '.join(classifier.labels)}; data.label_names can rename what the source has"
        )
    probabilities = classifier.predict(texts.texts)
    scores = evaluate(probabilities, texts.labels, classifier.labels, seed=_SEED)
    learned = classifier.manifest.get("data", {})
    if learned.get("train_fingerprint") == texts.fingerprint:
        remarks = (*remarks, "The model learned from these very texts: the figures flatter it.")
    elif learned.get("test_fingerprint") != texts.fingerprint:
        remarks = (
            *remarks,
            "These are not the texts that were held out when the model was trained: it may have seen some of them.",
        )
    return Evaluated(model, source, scores, remarks)


def write_evaluation(found: Evaluated, folder: Path) -> list[Path]:
    """Write `evaluation.json` and the pictures into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "evaluation.json"
    write_json(figures, found.as_dict())
    scores, name = found.scores, found.model
    where = f"{scores.texts:,} texts"
    return [
        figures,
        plots.confusion_matrix(
            scores,
            folder / "confusion_matrix.png",
            title=f"{name}: {where}, accuracy {scores.accuracy.value:.3f}",
        ),
        plots.class_f1(
            scores, folder / "class_f1.png", title=f"{name}: {where}, macro-F1 {scores.macro_f1.value:.3f}"
        ),
        plots.reliability_diagram(
            {"as served": (scores.bins, scores.calibration_error.value)},
            folder / "reliability.png",
            title=f"{name}: does it know how sure to be? {where}",
        ),
        draw_final(scores, folder / "metrics.png", name=name),
    ]
