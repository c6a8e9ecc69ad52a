"""The whole path with names that stores, pages and pictures cannot hold as they are: they pass, and are shown so."""

from __future__ import annotations

import csv
import io
import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from rich.console import Console

from classifier import Classifier
from classifier.reference import PROBABILITY_PREFIX, read_reference
from stores.names import metric_parts
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.training.conftest import environment
from training.errors import ExperimentInvalid
from training.experiment.schema import Experiment
from training.pipeline.run import run_experiment
from training.reporting.run_report import Outcome

_TEXTS_A_LABEL = 8
# Data's own checks take missing-value words, and labels that differ by case or blanks, for mistakes.
_LABELS = (
    "C++ / C#", "R&D", "Clothing, Shoes (kids)", "$\\frac{$", "$5 refunds", "[/red]", "</script><b>", "ไทย", "😀",
    "../up", "a//b", "what's now?", "priority_high", "%s {} {0}", "w|x", "x" * 256, "label", "text", "p_", "score",
)  # fmt: skip


def write_texts(path: Path, labels: list[str]) -> Path:
    """A file of distinct texts, each label with different words."""
    drawn = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(_TEXTS_A_LABEL):
            for place, label in enumerate(labels):
                words = [
                    f"{chr(97 + place)}{word}"
                    for word in drawn.choices(["dog", "owl", "cow", "hen", "ape"], k=4)
                ]
                rows.writerow(
                    [" ".join([*words, *drawn.choices(string.ascii_lowercase, k=9)]) + f" n{number}", label]
                )
    return path


def small(path: Path, **changes: object) -> Experiment:
    """The cheapest experiment on the texts of `path`."""
    raw = {
        "name": "small",
        "data": {"source": str(path), "text_column": "text", "label_column": "label"},
        "candidates": {"logreg": {"kind": "tfidf_logreg", "min_df": 1}},
        "gate": {"resamples": 100},
        "behaviour": {"texts": 3},
        "analysis": {"label_errors": False},
    }
    return Experiment.model_validate(raw | changes)


def run(var: Path, experiment: Experiment) -> tuple[Outcome, str]:
    """Run it with its state under `var`; returns the outcome and the output."""
    stream = io.StringIO()
    with environment(var):
        outcome = run_experiment(experiment, console=Console(file=stream, width=120))
    return outcome, stream.getvalue()


@pytest.mark.slow
@settings(
    max_examples=1, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(
    labels=st.lists(st.sampled_from(_LABELS), min_size=2, max_size=5, unique=True),
    experiment=st.sampled_from(["R&D [b] of $5 'now'", "ไทย: 😀?", "<b>#1"]),
    model=st.sampled_from(["bob's [red] tickets", "50% {x} $frac{$", "Ωμέγα 😀"]),
)
@example(labels=list(_LABELS), experiment="Support: [b] $frac{$", model="o'brien & [x]")
def test_hostile_names_pass_the_whole_path(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], experiment: str, model: str
) -> None:
    var = tmp_path_factory.mktemp("hostile")
    path = write_texts(var / "texts.csv", labels)
    outcome, printed = run(var / "var", small(path, name=experiment, model_name=model))
    assert outcome.failed == {}
    assert outcome.version is not None
    assert f"logreg is version 1 of {model}: champion" in " ".join(printed.split())

    registry = ModelRegistry(TrackingSettings(var_dir=var / "var", model_name=model))
    assert registry.latest().version == registry.by_alias("champion").version == "1"
    folder = registry.fetch(registry.by_alias("champion"))
    assert folder.is_relative_to(var / "var" / "models")
    classifier = Classifier.load(folder)
    assert sorted(classifier.labels) == sorted(labels), "shown as they are"
    frame = read_reference(folder)
    assert set(frame["label"]) == set(labels)
    assert {PROBABILITY_PREFIX + label for label in labels} <= set(frame.columns)
    assert set(json.loads((folder / "report" / "metrics.json").read_text())["test"]["classes"]) == set(labels)

    client = MlflowClient(tracking_uri=registry.settings.tracking_uri)
    metrics = client.get_run(outcome.runs["logreg"]).data.metrics
    for label, part in metric_parts(classifier.labels).items():
        assert metrics[f"test_f1_{part}"] == pytest.approx(outcome.evaluated[0].test.classes[label].f1.value)
    assert metrics["training_texts"] == 5 * len(labels), (
        "of 8, one each is held out for validation, test and holdout"
    )
    assert metrics["training_seconds"] > 0
    assert not [item for item in var.iterdir() if item.name not in ("texts.csv", "var")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../../../escaped"}, "an experiment cannot be called"),
        ({"model_name": "a/b"}, "no model can be registered as 'a/b'"),
        ({"model_name": "news#1"}, "no model can be registered"),
        ({"candidates": {"data": {"kind": "tfidf_logreg"}}}, "a run's report has a folder"),
        ({"candidates": {"../x": {"kind": "tfidf_logreg"}}}, "name a candidate with"),
        ({"candidates": {"x" * 61: {"kind": "tfidf_logreg"}}}, "name a candidate with"),
        (
            {"candidates": {"one": {"kind": "tfidf_logreg"}, "One": {"kind": "tfidf_mlp"}}},
            "differ only by case",
        ),
    ],
)
def test_names_that_cannot_be_are_refused_with_the_experiment(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        small(tmp_path / "none.csv", **changes)


def test_no_winner_is_said_before_anything_is_read(tmp_path: Path) -> None:
    experiment = small(tmp_path / "there is no such file.csv", baselines_may_win=False)
    with environment(tmp_path), pytest.raises(ExperimentInvalid, match=messages.NAME_IN_TWO_PHASES):
        run_experiment(experiment, console=Console(quiet=True))


def test_a_wrong_model_name_is_refused_before_reading_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with environment(tmp_path):
        monkeypatch.setenv("MODEL_NAME", "team/news")
        with pytest.raises(Exception, match=messages.MODEL_NAME_REFUSED):
            run_experiment(small(tmp_path / "no.csv"), console=Console(quiet=True))
