"""Evaluate one trained candidate through the files that are served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier import Classifier, Description
from classifier.precision import INT8_FILE
from classifier.predictor import Predictions
from classifier.runtime import Probabilities
from training.cascade.report import write_cascade_report
from training.config.evaluation import GateConfig
from training.data import Splits
from training.data.labels import positions_of
from training.evaluation import plots
from training.evaluation.calibration import calibration_error, fit_temperature, reliability
from training.evaluation.cost import Cost, cost_of, costs_of
from training.evaluation.intervals import Interval
from training.evaluation.metrics import Scores, evaluate, paired_difference, scores_on_live
from training.evaluation.pareto import Point
from training.evaluation.plots import draw_final, draw_training
from training.models.result import Trained


@dataclass(frozen=True)
class CandidateResult:
    """Evaluation result of one candidate."""

    name: str
    trained: Trained
    description: Description
    """Calibrated: with its temperature."""
    bundle: Path
    """Folder of its files."""
    validation: Scores
    test: Scores
    validation_predictions: Predictions
    test_predictions: Predictions
    cost: Cost
    int8: Point | None = None
    """The int8 file beside the one that is run, if there is one."""
    live: Scores | None = None
    """On the live texts of the test part alone; None where there are none."""
    stages: tuple[str, ...] = ()
    """Stages of a cascade; empty for every other candidate."""

    @property
    def megabytes(self) -> float:
        """Size of the files that serving loads."""
        return self.cost.megabytes

    @property
    def milliseconds(self) -> float:
        """Median latency of a single text in ms, tokenisation included, on this machine."""
        return self.cost.milliseconds

    @property
    def share_early(self) -> float | None:
        """Share of the test texts that a cascade answers before its last stage; None without stages."""
        if not self.stages:
            return None
        return float((self.test_predictions.stages < len(self.stages) - 1).mean())

    @property
    def points(self) -> list[Point]:
        """Its points of quality against cost: the served file, and the int8 file if that is another."""
        own = Point(self.name, self.test.macro_f1, self.cost)
        return [own, self.int8] if self.int8 else [own]

    def metrics(self) -> dict[str, float]:
        """Every figure by the name MLflow keeps it under."""
        return {
            **self.validation.metrics("validation"),
            **self.test.metrics("test"),
            **self.trained.figures,
            **(self.live.metrics("live_test") if self.live else {}),
            **self.cost_metrics(),
            "temperature": self.description.temperature,
            **({} if self.share_early is None else {"test_share_early": self.share_early}),
        }

    def cost_metrics(self) -> dict[str, float]:
        """The metrics that `with_interleaved_timing` measures again, and those of the int8 file."""
        return {
            **(self.int8.metrics("int8") if self.int8 else {}),
            **self.cost.metrics(),
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything for `metrics.json`."""
        return {
            "candidate": self.name,
            "validation": self.validation.as_dict(),
            "test": self.test.as_dict(),
            **({"live": self.live.as_dict()} if self.live else {}),
            "temperature": self.description.temperature,
            "megabytes": round(self.megabytes, 2),
            "latency_ms_p50": round(self.milliseconds, 2),
            "latency_ms_p95": round(self.cost.milliseconds_p95, 2),
            **({"texts_per_second": round(self.cost.texts_per_second)} if self.cost.texts_per_second else {}),
            **({} if self.share_early is None else {"test_share_early": round(self.share_early, 4)}),
            "training": {"epochs": self.trained.history.epochs, **self.trained.figures},
        }


def evaluate_candidate(
    name: str, trained: Trained, splits: Splits, bundle: Path, pictures: Path, gate: GateConfig, *, seed: int
) -> CandidateResult:
    """Calibrate, score, time and draw the candidate in the folder `bundle`; pictures go to `pictures`."""
    labels = trained.description.labels
    sure: dict[str, Any] = {"seed": seed, "confidence": gate.confidence, "resamples": gate.resamples}

    trained.description.write(bundle)
    raw = Classifier.load(bundle, verify=False).predict(splits.validation.texts)
    truth = positions_of(splits.validation.labels, labels)
    # From here on the files classify texts as they are sent: what training took out of them, they take out, too.
    description = trained.description.model_copy(
        update={"temperature": fit_temperature(raw, truth), "clean": splits.cleaning}
    )
    description.write(bundle)

    classifier = Classifier.load(bundle, verify=False)
    validated = classifier.classify(splits.validation.originals)
    tested = classifier.classify(splits.test.originals)
    evaluated = CandidateResult(
        name=name,
        trained=trained,
        description=description,
        bundle=bundle,
        validation=evaluate(validated.probabilities, splits.validation.labels, labels, **sure),
        test=evaluate(tested.probabilities, splits.test.labels, labels, **sure),
        validation_predictions=validated,
        test_predictions=tested,
        cost=cost_of(classifier, splits.validation.texts),
        int8=_int8_point(name, bundle, description, splits, sure),
        live=scores_on_live(tested.probabilities, splits.test, labels, **sure),
        stages=classifier.stages,
    )
    _draw(evaluated, uncalibrated(evaluated), splits, pictures)
    if classifier.stages:
        parts = {"validation": splits.validation, "test": splits.test}
        write_cascade_report(bundle, description, parts, pictures, name=name)
    return evaluated


def with_interleaved_timing(
    evaluated: Sequence[CandidateResult], texts: Sequence[str]
) -> list[CandidateResult]:
    """The results with comparable latencies: measured in turns, so that all see the same load of the machine."""
    # All in memory at once, which training has needed more of than they do.
    classifiers = [Classifier.load(item.bundle, verify=False) for item in evaluated]
    with_int8 = [place for place, item in enumerate(evaluated) if item.int8]
    classifiers += [
        Classifier.load(evaluated[place].bundle, verify=False, model_file=INT8_FILE) for place in with_int8
    ]
    costs = costs_of(classifiers, texts)
    timed = [replace(item, cost=cost) for item, cost in zip(evaluated, costs, strict=False)]
    for place, cost in zip(with_int8, costs[len(evaluated) :], strict=True):
        point = timed[place].int8
        assert point is not None
        timed[place] = replace(timed[place], int8=replace(point, cost=cost))
    return timed


def difference(
    one: CandidateResult, other: CandidateResult, splits: Splits, gate: GateConfig, *, seed: int
) -> Interval:
    """Macro-F1 of `one` minus that of `other` on the test part, paired by text, with its interval."""
    return paired_difference(
        one.test_predictions.probabilities,
        other.test_predictions.probabilities,
        splits.test.labels,
        one.description.labels,
        seed=seed,
        confidence=gate.confidence,
        resamples=gate.resamples,
    )


def uncalibrated(evaluated: CandidateResult) -> Probabilities:
    """The test probabilities as they were before calibration; (n, labels)."""
    # p^T, normalised, undoes a division of the logits by T.
    powers = evaluated.test_predictions.probabilities.astype(np.float64) ** evaluated.description.temperature
    raw: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return raw


def _int8_point(
    name: str, bundle: Path, description: Description, splits: Splits, sure: dict[str, Any]
) -> Point | None:
    """The int8 file on the curve, where it lies beside the float32 file that the bundle runs."""
    if description.model_file == INT8_FILE or not (bundle / INT8_FILE).is_file():
        return None
    classifier = Classifier.load(bundle, verify=False, model_file=INT8_FILE)
    scores = evaluate(
        classifier.predict(splits.test.originals), splits.test.labels, description.labels, **sure
    )
    return Point(f"{name} int8", scores.macro_f1, cost_of(classifier, splits.validation.texts))


def _draw(evaluated: CandidateResult, raw: Probabilities, splits: Splits, pictures: Path) -> None:
    name, test = evaluated.name, evaluated.test
    truth = positions_of(splits.test.labels, evaluated.description.labels)
    after = evaluated.test_predictions.probabilities
    where = f"{test.texts} test texts"
    plots.confusion_matrix(
        test,
        pictures / "confusion_matrix.png",
        title=f"{name}: {where}, accuracy {test.accuracy.value:.3f}",
    )
    plots.class_f1(
        test, pictures / "class_f1.png", title=f"{name}: {where}, macro-F1 {test.macro_f1.value:.3f}"
    )
    plots.reliability_diagram(
        {
            "as trained": (reliability(raw, truth), calibration_error(raw, truth)),
            "calibrated": (reliability(after, truth), calibration_error(after, truth)),
        },
        pictures / "reliability.png",
        title=f"{name}: calibration, {where}",
    )
    draw_final(test, pictures / "final_metrics.png", name=name)
    draw_training(evaluated.trained.history, pictures, name=name)
