"""Who teaches, what is known of them, and that a network comes back from its ONNX file as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from classifier import Classifier
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import TOPICS
from tests.training.distillation.conftest import LAYERS, small_network
from training.data import Part, Splits
from training.distillation.teacher import find_teacher
from training.errors import NetworkUnreadable, TeacherUnusable
from training.export.read_back import read_network, read_tokenizer
from training.models.result import TrainingContext

Make = Callable[[str], TrainingContext]


def test_the_onnx_file_gives_back_its_weights(network_bundle: Path) -> None:
    back, trained = read_network(network_bundle / "model.onnx"), small_network()
    assert back.config.num_hidden_layers == LAYERS
    assert list(back.config.id2label.values()) == list(TOPICS)
    assert not back.training
    expected = trained.state_dict()
    assert set(back.state_dict()) == set(expected)
    for name, weight in back.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    tokenizer = read_tokenizer(network_bundle)
    assert set(tokenizer(["a", "longer text"], padding=True)) == {
        "input_ids", "attention_mask", "token_type_ids",
    }  # fmt: skip


def test_the_file_says_nothing_of_the_machine_that_wrote_it(network_bundle: Path) -> None:
    said = {item.key: item.value for item in onnx.load(str(network_bundle / "model.onnx")).metadata_props}
    assert set(said) == {"architecture", "weights"}
    assert "/" not in said["architecture"]


def beside(student: TrainingContext, teacher: TrainingContext) -> TrainingContext:
    """`student`, with a teacher among the candidates of its run."""
    return replace(student, siblings={teacher.name: teacher.bundle})


def test_a_file_without_its_architecture_cannot_teach(
    tmp_path: Path, network_bundle: Path, splits: Splits, context: Make
) -> None:
    old = shutil.copytree(network_bundle, tmp_path / "old")
    model = onnx.load(str(old / "model.onnx"))
    del model.metadata_props[:]
    onnx.save(model, str(old / "model.onnx"))
    with pytest.raises(NetworkUnreadable, match=messages.ARCHITECTURE_MISSING):
        read_network(old / "model.onnx")
    made = context("old")
    shutil.copytree(old, made.bundle, dirs_exist_ok=True)
    with pytest.raises(TeacherUnusable, match=messages.TEACHER_TO_RETRAIN):
        _ = find_teacher("old", splits, beside(context("student"), made)).network


def test_a_network_that_says_something_else_is_not_taken(
    tmp_path: Path, network_bundle: Path, splits: Splits, context: Make
) -> None:
    made = context("changed")
    shutil.copytree(network_bundle, made.bundle, dirs_exist_ok=True)
    model = onnx.load(str(made.bundle / "model.onnx"))
    places = next(item for item in model.metadata_props if item.key == "weights")
    said = json.loads(places.value)
    first, second = (f"bert.encoder.layer.{layer}.attention.self.query.weight" for layer in (0, 1))
    said[first], said[second] = said[second], said[first]
    places.value = json.dumps(said)
    onnx.save(model, str(made.bundle / "model.onnx"))
    with pytest.raises(TeacherUnusable, match=messages.TEACHER_DIFFERS):
        _ = find_teacher("changed", splits, beside(context("student"), made)).network


def test_soft_labels_are_the_teachers_before_calibration(
    network_bundle: Path, splits: Splits, context: Make
) -> None:
    teacher = find_teacher(str(network_bundle), splits, context("student"))
    texts = splits.test.texts
    calibrated = Classifier.load(network_bundle).predict(texts)
    plain, soft = teacher.soft_labels(texts), teacher.soft_labels(texts, temperature=2.0)
    assert np.allclose(soft, calibrated, atol=1e-4), "its temperature is 2, too"
    assert (plain.max(axis=1) > soft.max(axis=1)).all()
    assert np.allclose(plain.sum(axis=1), 1)
    assert teacher.knows_the_data
    assert teacher.sentences() == []


def test_teachers_of_other_texts_or_kinds_are_reported(
    tfidf_bundle: Path, splits: Splits, context: Make
) -> None:
    teacher = find_teacher(str(tfidf_bundle), splits, context("student"))
    assert teacher.network is None
    no_network, other_part = teacher.sentences()
    assert messages.TEACHER_NO_NETWORK in no_network
    assert messages.TEACHER_SEEN_TEXTS in other_part


def test_columns_follow_the_labels_of_the_data(network_bundle: Path, splits: Splits, context: Make) -> None:
    teacher = find_teacher(str(network_bundle), splits, context("student"))
    turned = replace(teacher, order=(4, 0, 1, 2, 3))
    texts = splits.test.texts[:3]
    assert np.array_equal(turned.soft_labels(texts)[:, 0], teacher.soft_labels(texts)[:, 4])


def test_an_earlier_candidate_of_the_same_run_is_found(
    splits: Splits, context: Make, network_bundle: Path
) -> None:
    made = context("network")
    shutil.copytree(network_bundle, made.bundle, dirs_exist_ok=True)
    sibling = find_teacher("network", splits, beside(context("student"), made))
    assert sibling.name == "candidate network"
    assert sibling.knows_the_data


def test_a_candidate_that_failed_is_not_looked_for_elsewhere(
    splits: Splits,
    context: Make,
    network_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(network_bundle, tmp_path / "network")
    monkeypatch.chdir(tmp_path)
    assert find_teacher("network", splits, context("student")).name == "bundle network"
    failed = replace(context("other"), siblings={"network": None})
    with pytest.raises(TeacherUnusable, match=messages.STAGE_UNAVAILABLE):
        find_teacher("network", splits, failed)


def test_a_teacher_that_cannot_be_is_named_with_what_there_is(
    tmp_path: Path, splits: Splits, context: Make, network_bundle: Path
) -> None:
    student = replace(context("student"), registry=ModelRegistry(TrackingSettings(var_dir=tmp_path / "var")))
    for wanted, sentence in (
        ("champion", "has no 'champion'"),
        ("7", "no version 7"),
        ("minilm", "comes before the student"),
    ):
        with pytest.raises(TeacherUnusable, match=sentence):
            find_teacher(wanted, splits, student)
    fewer = replace(splits, train=Part(["a", "b"], ["sport", "tech"]))
    with pytest.raises(TeacherUnusable, match=messages.TEACHER_OTHER_LABELS):
        find_teacher(str(network_bundle), fewer, student)
