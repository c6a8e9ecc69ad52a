"""The candidate kind `head`: what it answers, what it leaves, and what candidates share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

from classifier import Classifier
from classifier.precision import INT8_FILE
from training.candidates.frozen_encoder import VECTORS, train_head
from training.config.network import HeadConfig, Int8Config
from training.data import DataConfig, Part, SplitConfig, Splits, load_data, split_data
from training.experiment.loader import load_experiment
from training.export.onnx import torch_probabilities
from training.export.read_back import read_network
from training.models.result import Trained, TrainingContext
from training.models.weights import weights_source
from training.runs.preflight import readers_of

LENGTH = 24


@pytest.fixture(scope="module")
def few() -> Splits:
    """Eight texts a class to learn from."""
    config = DataConfig(split=SplitConfig(train_texts=40, validation_texts=25, test_texts=50))
    return split_data(load_data(config, 42), config, 42)


def context(folder: Path, name: str = "head") -> TrainingContext:
    place = TrainingContext(
        name, folder / name / "bundle", folder / name, 1, Progress(console=Console(quiet=True))
    )
    place.bundle.mkdir(parents=True)
    return place


def train(config: HeadConfig, splits: Splits, folder: Path, name: str = "head") -> tuple[Classifier, Trained]:
    place = context(folder, name)
    trained = train_head(config, splits, place)
    return Classifier.load(place.bundle, verify=False), trained


def unit_vectors(texts: list[str]) -> np.ndarray:
    """Normalised mean token vectors of the packaged MiniLM, by transformers alone."""
    source = weights_source("all-minilm-l6-v2")
    tokenizer, network = AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source).eval()
    rows = []
    for text in texts:
        batch = tokenizer(text, truncation=True, max_length=LENGTH, return_tensors="pt")
        with torch.inference_mode():
            mean = network(**batch).last_hidden_state[0].mean(dim=0)
        rows.append((mean / mean.norm()).numpy())
    return np.stack(rows)


def test_it_equals_logistic_regression_on_mean_vectors(few: Splits, tmp_path: Path) -> None:
    served, trained = train(HeadConfig(max_length=LENGTH, C=3.0), few, tmp_path)
    expected = LogisticRegression(C=3.0, max_iter=2000).fit(unit_vectors(few.train.texts), few.train.labels)
    asked = few.test.texts[:12]
    assert tuple(expected.classes_) == served.labels
    assert np.abs(served.predict(asked) - expected.predict_proba(unit_vectors(asked))).max() < 2e-3
    assert trained.figures["parity_difference"] < 1e-3
    assert trained.figures["training_seconds"] >= trained.figures["head_seconds"] > 0
    right = [served.labels[i] for i in served.predict(few.test.texts).argmax(axis=1)]
    assert np.mean([given == true for given, true in zip(right, few.test.labels, strict=True)]) > 0.8


def test_two_classes_and_the_network_read_back(few: Splits, tmp_path: Path) -> None:
    def only(part: Part) -> Part:
        return part.rows([row for row, label in enumerate(part.labels) if label in ("sports", "tech")])

    two = replace(few, **{name: only(part) for name, part in few.parts().items()})
    served, _ = train(HeadConfig(max_length=LENGTH, layers=(0, 5)), two, tmp_path)
    assert served.labels == ("sports", "tech")
    network = read_network(served.folder / "model.onnx")  # as distillation reads a teacher
    tokenizer = AutoTokenizer.from_pretrained(weights_source("all-minilm-l6-v2"))
    again = torch_probabilities(network, tokenizer, two.test.texts, max_length=LENGTH)
    assert np.abs(again - served.predict(two.test.texts)).max() < 1e-4
    assert network.config.num_hidden_layers == 2


def test_candidates_with_the_same_encoder_share_its_vectors(few: Splits, tmp_path: Path) -> None:
    small = {"weights": "random-bert", "parity_tolerance": 1e-3}
    first, _ = train(HeadConfig(max_length=16, C=1.0, **small), few, tmp_path, "first")
    second, _ = train(HeadConfig(max_length=16, C=100.0, **small), few, tmp_path, "second")
    assert len(list((tmp_path / VECTORS).iterdir())) == 1
    asked = few.test.texts[:5]
    assert second.predict(asked).max() > first.predict(asked).max()
    train(HeadConfig(max_length=12, **small), few, tmp_path, "shorter")
    assert len(list((tmp_path / VECTORS).iterdir())) == 2


def test_balanced_weights_raise_the_rare_class(few: Splits, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    rows = []
    for row, label in enumerate(few.train.labels):
        counts[label] += 1
        if label != "tech" or counts[label] <= 2:
            rows.append(row)
    skewed = replace(few, train=few.train.rows(rows))
    plain, _ = train(HeadConfig(max_length=LENGTH), skewed, tmp_path, "plain")
    weighted, _ = train(HeadConfig(max_length=LENGTH, class_weights="balanced"), skewed, tmp_path, "weighted")
    column = plain.labels.index("tech")
    asked = few.test.texts
    assert (weighted.predict(asked)[:, column] > plain.predict(asked)[:, column]).all()


def test_it_can_have_int8(few: Splits, tmp_path: Path) -> None:
    served, trained = train(
        HeadConfig(max_length=16, layers=1, int8=Int8Config(max_f1_loss=1.0)), few, tmp_path
    )
    assert trained.figures["int8_passed"] == 1.0
    assert (served.folder / INT8_FILE).stat().st_size < (served.folder / "model.onnx").stat().st_size / 2


def test_what_it_reads_is_known_before(few: Splits) -> None:
    reader = readers_of({"head": HeadConfig(max_length=LENGTH)})["head"]
    assert reader.max_length == LENGTH
    assert reader.count_tokens(["one two three"]) == [5]


def test_its_smoke_size_and_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "heads.yaml"
    file.write_text("candidates: {head: {kind: head, weights: some/hub-model, max_length: 256}}")
    small = load_experiment(str(file), smoke=True).candidates["head"]
    assert isinstance(small, HeadConfig)
    assert (small.layers, small.max_length) == (2, 32)
    for fault in ({"C": 0}, {"layers": 0}, {"epochs": 2}):
        with pytest.raises(ValidationError):
            HeadConfig(**fault)
