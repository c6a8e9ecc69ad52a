from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, PreTrainedModel

from classifier import Description, seal_bundle
from tests.support.bundles import TOPICS, sealed_tfidf_bundle
from training.data import DataConfig, Splits, load_data, split_data
from training.export.onnx import export_network
from training.models.result import TrainingContext
from training.models.weights import weights_source

LAYERS, LENGTH = 4, 24


def small_network() -> PreTrainedModel:
    """A random BERT, lively enough to tell texts apart."""
    torch.manual_seed(0)
    network = BertForSequenceClassification(
        BertConfig(
            vocab_size=30522, hidden_size=32, num_attention_heads=2, intermediate_size=64,
            num_hidden_layers=LAYERS, num_labels=len(TOPICS), initializer_range=0.15,
            id2label=dict(enumerate(TOPICS)), label2id={name: index for index, name in enumerate(TOPICS)},
        )
    )  # fmt: skip
    torch.nn.init.normal_(network.classifier.weight, std=1.0)
    return network


@pytest.fixture(scope="session")
def splits() -> Splits:
    config = DataConfig(limit=80)
    return split_data(load_data(config, 1), config, 1)


@pytest.fixture(scope="session")
def network_bundle(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> Path:
    """A sealed bundle of the small network, which learned nothing, from the training part of `splits`."""
    folder = tmp_path_factory.mktemp("teacher") / "network"
    folder.mkdir()
    tokenizer = AutoTokenizer.from_pretrained(weights_source("all-minilm-l6-v2"))
    description = Description(kind="onnx", model_file="model.onnx", labels=TOPICS, max_length=LENGTH)
    texts = splits.validation.texts
    export_network(small_network(), tokenizer, folder, description, texts=texts, tolerance=1e-4)
    seal_bundle(
        folder,
        description.model_copy(update={"temperature": 2.0}),
        golden_texts=texts[:2],
        data={"train_fingerprint": splits.train.fingerprint},
    )
    return folder


@pytest.fixture(scope="session")
def tfidf_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed classical bundle, which learned from other texts."""
    return sealed_tfidf_bundle(tmp_path_factory.mktemp("teacher") / "tfidf", strength=0.3).folder


@pytest.fixture
def context(tmp_path: Path) -> Callable[[str], TrainingContext]:
    """A candidate's context beside those of others."""

    def make(name: str) -> TrainingContext:
        scratch = tmp_path / "run" / name
        (scratch / "bundle").mkdir(parents=True)
        return TrainingContext(name, scratch / "bundle", scratch, 1, Progress(console=Console(quiet=True)))

    return make
