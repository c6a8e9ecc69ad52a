"""Students, taught and evaluated as any other candidate, and the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from sklearn.metrics import log_loss

from classifier import Classifier
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import registered
from tests.training.conftest import environment
from training.commands.cli import main
from training.commands.distill import distillation
from training.config.distillation import (
    DistillationConfig,
    DistilledConfig,
    DistilledLinearConfig,
    ExtraTextsConfig,
)
from training.config.network import Int8Config
from training.data import Splits
from training.distillation.student import as_weighted_rows, layers_kept
from training.distillation.teacher import find_teacher, pinned_teachers
from training.errors import TeacherUnusable
from training.experiment.loader import load_experiment
from training.export.onnx import torch_probabilities
from training.export.read_back import read_network, read_tokenizer
from training.kinds.candidate import train_candidate
from training.models.result import TrainingContext
from training.models.weights import keep_layers

Make = Callable[[str], TrainingContext]


def test_weighted_rows_say_the_same_as_soft_targets() -> None:
    targets = np.array([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6]])
    rows, labels, weights = as_weighted_rows(targets)
    assert len(rows) == 5, "what is not likely at all takes no row"
    said = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    hard = log_loss(labels, said[rows], sample_weight=weights, labels=[0, 1, 2])
    assert hard == pytest.approx(-(targets * np.log(said)).sum() / 2)


def test_a_linear_student_says_what_its_teacher_says(
    tfidf_bundle: Path, splits: Splits, context: Make
) -> None:
    alone, taught = context("alone"), context("taught")
    how = {"teacher": str(tfidf_bundle), "temperature": 1.0, "C": 50.0, "min_df": 1}
    trained = train_candidate(
        DistilledLinearConfig(**how, true_labels=0.0, extra_texts=ExtraTextsConfig(copies=2)), splits, taught
    )
    train_candidate(DistilledLinearConfig(**how, true_labels=1.0), splits, alone)
    assert trained.figures["extra_texts"] == 2 * len(splits.train)
    said = Classifier.load(tfidf_bundle).predict(splits.test.texts)
    distances = {}
    for place in (alone, taught):
        trained.description.write(place.bundle)
        found = Classifier.load(place.bundle, verify=False).predict(splits.test.texts)
        distances[place.name] = float(np.abs(found - said).mean())
    assert distances["taught"] < 0.75 * distances["alone"]


def test_every_other_layer_is_kept_unless_told_otherwise() -> None:
    assert layers_kept(None, 6) == (0, 2, 4)
    assert layers_kept(2, 6) == (0, 1)
    assert layers_kept((1, 5), 6) == (1, 5)
    assert DistilledConfig.model_validate({"teacher": 3}).teacher == "3", "as --set reads a version's number"


def test_a_student_has_fewer_layers_than_its_teacher(
    splits: Splits, context: Make, network_bundle: Path
) -> None:
    with pytest.raises(TeacherUnusable, match=messages.STUDENT_TOO_DEEP):
        train_candidate(DistilledConfig(teacher=str(network_bundle), layers=4), splits, context("student"))


@pytest.mark.slow
def test_a_student_comes_nearer_to_its_teacher(splits: Splits, context: Make, network_bundle: Path) -> None:
    teacher, kept, texts = read_network(network_bundle / "model.onnx"), (0, 1, 2), splits.validation.texts
    tokenizer = read_tokenizer(network_bundle)
    said = torch_probabilities(teacher, tokenizer, texts, max_length=24)
    keep_layers(teacher, kept)
    before = torch_probabilities(teacher, tokenizer, texts, max_length=24)
    place = context("student")
    config = DistilledConfig(
        teacher=str(network_bundle), layers=kept, epochs=3, learning_rate=2e-3, max_length=24, true_labels=0.0,
        temperature=1.0, extra_texts=ExtraTextsConfig(copies=2), int8=Int8Config(max_f1_loss=1.0, serve=True),
    )  # fmt: skip
    trained = train_candidate(config, splits, place)
    trained.description.write(place.bundle)
    student = read_network(place.bundle / "model.onnx")
    assert student.config.num_hidden_layers == 3
    after = torch_probabilities(student, tokenizer, texts, max_length=24)
    assert np.abs(after - said).mean() < 0.7 * np.abs(before - said).mean()
    assert trained.figures["extra_texts"] == 2 * len(splits.train)
    assert trained.description.model_file == "model.int8.onnx"
    served = Classifier.load(place.bundle, verify=False).predict(texts)
    assert trained.figures["int8_max_difference"] == pytest.approx(np.abs(served - after).max(), abs=1e-3)


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    with environment(tmp_path / "var"):
        yield tmp_path / "var"


def test_distill_takes_teacher_and_data_of_the_champion(
    tmp_path: Path, var: Path, network_bundle: Path
) -> None:
    found = distillation(None, str(network_bundle), ["data.limit=80"])
    students = {
        name: item.teacher for name, item in found.candidates.items() if isinstance(item, DistillationConfig)
    }
    assert students == {"student": str(network_bundle), "linear_student": str(network_bundle)}
    own = tmp_path / "own" / "report"
    own.mkdir(parents=True)
    (own / "experiment.yaml").write_text("seed: 7\ndata: {source: mine.csv, label_names: {'1': one}}\n")
    found = distillation(None, str(own.parent), [])
    assert (found.seed, found.data.source, found.data.label_names) == (7, "mine.csv", {"1": "one"})
    with pytest.raises(TeacherUnusable, match=messages.TEACHER_NOT_IN_EXPERIMENT):
        distillation("quickstart", str(network_bundle))
    failed = CliRunner().invoke(main, ["distill"])
    assert failed.exit_code == 2
    assert "has no 'champion'" in failed.stderr
    assert "no teacher 'nobody'" in CliRunner().invoke(main, ["distill", "--teacher", "nobody"]).stderr


@pytest.mark.slow
def test_a_student_of_the_champion_is_one_of_that_version(var: Path, network_bundle: Path) -> None:
    registry = ModelRegistry(TrackingSettings())
    experiment = load_experiment("distillation")
    assert pinned_teachers(experiment.candidates, registry) == {}, "there is no champion yet"

    def teachers() -> set[str]:
        found = pinned_teachers(experiment.candidates, registry).values()
        return {config.teacher for config in found if isinstance(config, DistillationConfig)}

    registered(registry, network_bundle)
    assert teachers() == {"1"}
    registered(registry, network_bundle)
    assert teachers() == {"2"}


@pytest.mark.slow
def test_distill_and_pareto_as_a_user_types_them(
    var: Path, network_bundle: Path, splits: Splits, context: Make
) -> None:
    registered(ModelRegistry(TrackingSettings()), network_bundle)
    assert find_teacher("champion", splits, context("one")).name == "champion, version 1"
    assert find_teacher("1", splits, context("other")).name == "version 1"
    small = (
        "data.limit=80", "seed=1", "candidates.student.epochs=1", "candidates.student.max_length=24",
        "candidates.student.layers=2", "candidates.untaught=null", "candidates.student.int8={max_f1_loss: 1}",
    )  # fmt: skip
    done = CliRunner().invoke(
        main, ["distill", *(word for item in small for word in ("--set", item))], env={"COLUMNS": "150"},
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    for name in ("student", "student int8", "linear_student", "tfidf_logreg"):
        assert f"  {name}" in done.stdout
    assert messages.PARETO_FRONT in done.stdout
    assert "dominates" in done.stdout
    assert messages.STUDENT_COMPARED in done.stdout
    assert len(list((var / "reports").glob("*/students.md"))) == 1

    client = MlflowClient(tracking_uri=TrackingSettings().tracking_uri)
    (experiment,) = [item for item in client.search_experiments() if item.name == "distillation"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    student = runs["student"].data
    assert student.params["teacher"] == "1"
    assert student.metrics["int8_passed"] == 1
    assert student.metrics["int8_megabytes"] < student.metrics["megabytes"]
    pictures = [item.path for item in client.list_artifacts(runs["distillation"].info.run_id, "report")]
    assert "report/pareto.png" in pictures

    drawn = CliRunner().invoke(main, ["pareto"], env={"COLUMNS": "150"}, catch_exceptions=False)
    assert "student int8" in drawn.stdout
    (picture,) = (var / "reports").glob("pareto-distillation-*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert messages.PARETO_NO_RUN in CliRunner().invoke(main, ["pareto", "nothing"]).stderr
