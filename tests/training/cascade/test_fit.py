"""Cascades from candidates: weights, thresholds, the bundle, and the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from classifier import Classifier, Description
from classifier.runtimes.cascade import CascadeDescription
from tests import golden_messages as messages
from training.cascade.fit import fit_weights
from training.cascade.report import CASCADE_FIGURES, CASCADE_PICTURE, write_cascade_report
from training.config.candidate import CascadeConfig
from training.config.tfidf import LogregConfig, StaticLinearConfig
from training.data import DataConfig, SplitConfig, Splits, load_data, split_data
from training.errors import StageUnusable
from training.kinds.candidate import train_candidate
from training.models.result import Trained, TrainingContext

STAGES = ("linear", "second")


@dataclass(frozen=True)
class Trial:
    """A linear stage and a TF-IDF pipeline, ready to be stages."""

    splits: Splits
    folder: Path
    siblings: dict[str, Path | None]

    def cascade(self, name: str, **changed: object) -> tuple[Path, Trained]:
        config = CascadeConfig(
            **{"stages": STAGES, "max_accuracy_loss": 0.02, "max_class_loss": 0.1, **changed}
        )
        place = context(self.folder, name, siblings=self.siblings)
        return place.bundle, train_candidate(config, self.splits, place)


def context(folder: Path, name: str, **changed: object) -> TrainingContext:
    place = TrainingContext(
        name, folder / name / "bundle", folder / name, 1, Progress(console=Console(quiet=True)), **changed
    )
    place.bundle.mkdir(parents=True)
    return place


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    config = DataConfig(
        split=SplitConfig(
            train_texts=600, validation_texts=500, test_texts=300, unlabelled_texts=50, calibration_texts=100
        )
    )
    splits = split_data(load_data(config, 42), config, 42)
    folder = tmp_path_factory.mktemp("cascade")
    siblings: dict[str, Path | None] = {"later": None}
    for name, candidate in (
        ("linear", StaticLinearConfig(weights=None)),
        ("second", LogregConfig(ngram_max=1, C=30.0)),
    ):
        place = context(folder, name)
        train_candidate(candidate, splits, place).description.write(place.bundle)
        siblings[name] = place.bundle
    return Trial(splits, folder, siblings)


def test_early_answers_cost_no_more_than_the_limit(trial: Trial) -> None:
    bundle, trained = trial.cascade("usual")
    trained.description.write(bundle)
    classifier = Classifier.load(bundle, verify=False)
    cascade = CascadeDescription.read(bundle)
    assert classifier.stages == STAGES
    assert trained.figures["validation_share_early"] > 0.3
    assert cascade.calibration["labelled_texts"] == 500
    assert cascade.calibration["unlabelled_texts"] == 100, (
        "calibration texts, not those that stages learn from"
    )
    truth = np.array([trial.splits.labels.index(label) for label in trial.splits.test.labels])
    staged = classifier.classify(trial.splits.test.texts)
    full = classifier.predict(trial.splits.test.texts, all_stages=True)
    lost = (full.argmax(axis=1) == truth).mean() - (staged.probabilities.argmax(axis=1) == truth).mean()
    assert lost <= 0.02
    assert (staged.stages == 0).mean() > 0.3


def test_a_stricter_limit_leaves_more_to_the_last_stage(trial: Trial) -> None:
    _, loose = trial.cascade("loose", max_accuracy_loss=0.05)
    _, strict = trial.cascade("strict", max_accuracy_loss=0.001)
    assert strict.figures["validation_share_early"] == 0 < loose.figures["validation_share_early"]


def test_the_bundle_has_lower_thresholds_for_overload(trial: Trial) -> None:
    bundle, trained = trial.cascade("overloaded", max_accuracy_loss=0.01)
    trained.description.write(bundle)
    first = CascadeDescription.read(bundle).stages[0]
    assert [item.max_accuracy_loss for item in first.relaxed] == [0.02, 0.05, 0.1]
    for item in first.relaxed:
        for own, lower in zip(first.thresholds or (), item.thresholds, strict=True):
            assert own is None or (lower is not None and lower <= own)
    classifier = Classifier.load(bundle, verify=False)
    texts = trial.splits.test.texts
    encoded = classifier.encode(texts)
    shares = [
        np.mean([item.answered for item in classifier.relaxed(encoded, loss)]) for loss in (0.01, 0.05, 1)
    ]
    assert np.mean([item.answered for item in encoded]) == shares[0] <= shares[1] <= shares[2]
    assert shares[0] < shares[2]
    truth = np.array([trial.splits.labels.index(label) for label in trial.splits.test.labels])
    early = classifier.infer(classifier.relaxed(encoded, 0.05)).argmax(axis=1)
    full = classifier.predict(texts, all_stages=True).argmax(axis=1)
    assert (full == truth).mean() - (early == truth).mean() <= 0.05


@pytest.mark.parametrize("stages", [("later", "second"), ("linear", "unknown")])
def test_a_stage_must_have_been_trained_before(trial: Trial, stages: tuple[str, str]) -> None:
    with pytest.raises(StageUnusable, match=messages.STAGE_UNAVAILABLE):
        trial.cascade("-".join(stages), stages=stages)


def test_a_cascade_is_no_stage(trial: Trial) -> None:
    bundle, trained = trial.cascade("inner")
    trained.description.write(bundle)
    nested = Trial(trial.splits, trial.folder, {**trial.siblings, "inner": bundle})
    with pytest.raises(StageUnusable, match=messages.STAGE_IS_CASCADE):
        nested.cascade("outer", stages=("linear", "inner"))


@pytest.mark.parametrize(
    "changed", [{"stages": ("linear",)}, {"stages": ("linear", "linear")}, {"max_accuracy_loss": 0}]
)
def test_an_invalid_configuration_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CascadeConfig(**{"stages": STAGES, **changed})


def test_weights_follow_the_better_stage() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, size=400)
    good, noise = (np.log(rng.dirichlet([0.5] * 3, size=400)).astype(np.float32) for _ in range(2))
    good[np.arange(400), truth] += 4
    (first,), (weak, strong) = fit_weights([noise, good], truth)
    assert first < 0.2
    assert strong > 5 * weak


def test_the_report_draws_the_trade_and_lists_labels(trial: Trial, tmp_path: Path) -> None:
    bundle, trained = trial.cascade("drawn")
    parts = {"validation": trial.splits.validation, "test": trial.splits.test}
    write_cascade_report(bundle, trained.description, parts, tmp_path, name="cascade")
    facts = json.loads((tmp_path / CASCADE_FIGURES).read_text(encoding="utf-8"))
    classifier = Classifier.load(bundle, verify=False)
    early = classifier.classify(trial.splits.test.texts).stages == 0
    assert facts["chosen"]["test"]["share_early"] == pytest.approx(early.mean())
    assert [item["label"] for item in facts["labels"]] == list(trial.splits.labels)
    assert sum(item["texts"] for item in facts["labels"]) == 300
    shares = [point["share_early"] for point in facts["curves"]["validation"]]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert (tmp_path / CASCADE_PICTURE).stat().st_size > 10_000
    assert isinstance(trained.description, Description)
