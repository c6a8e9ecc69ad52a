"""`python -m training evaluate`: evaluate any model on labelled texts: metrics, plots, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from classifier import BundleError, Classifier
from stores.bundles import find_bundle
from stores.errors import BadModelReference, NotABundle
from stores.model_ref import ModelRef
from stores.settings import SigningSettings, TrackingSettings
from training.data import Part, load_data, split_data
from training.errors import EvaluationRefused
from training.evaluation import plots
from training.evaluation.metrics import Scores, evaluate
from training.evaluation.plots import draw_final
from training.experiment.schema import Experiment
from training.reporting.run_report import write_json

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
            title=escape(f"{self.model} on {self.scores.texts:,} texts of {self.source}"),
            title_justify="left",
        )
        table.add_column("metric")
        for heading in ("value", "interval"):
            table.add_column(heading, justify="right")
        of_labels = {f"F1 of {label}": found.f1 for label, found in self.scores.classes.items()}
        for name, interval in (self.scores.headlines | of_labels).items():
            table.add_row(escape(name), f"{interval.value:.3f}", f"{interval.low:.3f}–{interval.high:.3f}")
        return table

    def as_dict(self) -> dict[str, Any]:
        """Everything for `evaluation.json`."""
        return {
            "model": self.model, "source": self.source, "remarks": list(self.remarks), **self.scores.as_dict()
        }  # fmt: skip


def find_model(wanted: str, registered_as: str | None = None) -> tuple[str, Classifier]:
    """A model in words, and loaded.

    Args:
        wanted: a reference to it (`stores.model_ref`).
        registered_as: name of the registered model where the reference has none; None: the setting MODEL_NAME.

    Raises:
        EvaluationRefused: it is no reference, or cannot be loaded.
        ModelNotRegistered, RegistryUnavailable: see `ModelRegistry`.
    """
    tracking = TrackingSettings(model_name=registered_as) if registered_as else TrackingSettings()
    try:
        found = find_bundle(ModelRef.parse(wanted), tracking, SigningSettings().keys)
        return found.title, Classifier.load(found.folder, signing_key=found.manifest_keys)
    except (BundleError, BadModelReference, NotABundle) as error:
        raise EvaluationRefused(f"the model {wanted!r} cannot be loaded: {error}") from None


def load_texts(experiment: Experiment, file: Path | None, part: str) -> tuple[Part, str, tuple[str, ...]]:
    """The texts, a description of their source, and remarks on rows that cannot be used.

    Args:
        experiment: whose texts they are, or whose data options say how `file` is read.
        file: a labelled file, of which every usable text is evaluated once; None: `part` of the experiment's texts.
        part: `train`, `validation`, `test` or `holdout`.

    Raises:
        DataError: they cannot be used.
    """
    config, seed = experiment.data, experiment.seed
    if file is None:
        splits = split_data(load_data(config, seed), config, seed)
        return splits.parts()[part], f"{config.source}, {part}", ()
    loaded = load_data(config.model_copy(update={"source": str(file)}), seed, fewest_labels=1)
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
            f"{', '.join(classifier.labels)}. {_renaming(unknown, classifier.labels)}"
        )
    probabilities = classifier.predict(texts.originals)  # as they would be sent; the model cleans them itself
    scores = evaluate(probabilities, texts.labels, classifier.labels, seed=_SEED)
    absent = [label for label in classifier.labels if label not in texts.labels]
    if absent:
        remarks = (
            *remarks,
            f"No text has the label {', '.join(absent[:10])}: accuracy and macro-F1 say nothing about "
            f"{'it' if len(absent) == 1 else 'them'}, and F1 of it is 0 wherever the model answers it.",
        )
    learned = classifier.manifest.get("data", {})
    if learned.get("train_fingerprint") == texts.fingerprint:
        remarks = (*remarks, "The model learned from these very texts: the figures flatter it.")
    elif learned.get("test_fingerprint") != texts.fingerprint:
        remarks = (
            *remarks,
            "These are not the texts that were held out when the model was trained: it may have seen some of them.",
        )
    return Evaluated(model, source, scores, remarks)


def _renaming(unknown: Sequence[str], known: Sequence[str]) -> str:
    """How to rename labels that the model does not know, with those that differ by case or blanks only filled in."""
    by_fold = {label.casefold().strip(): label for label in known}
    same = {
        label: by_fold[label.casefold().strip()] for label in unknown if label.casefold().strip() in by_fold
    }
    if same:
        names = ", ".join(f"{label}: {name}" for label, name in list(same.items())[:10])
        return f"They differ by case: --set 'data.label_names={{{names}}}' renames them"
    return f"If they mean the same under other names: --set 'data.label_names={{{unknown[0]}: {known[0]}}}' renames one"


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
            title=f"{name}: calibration, {where}",
        ),
        draw_final(scores, folder / "metrics.png", name=name),
    ]
