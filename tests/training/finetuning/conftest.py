"""A network that trains in a second, and texts for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from training.data import DataConfig, Splits, load_data, split_data
from training.models.result import TrainingContext
from training.models.weights import weights_source

Place = Callable[..., TrainingContext]


def tiny_network(labels: int, *, dropout: float = 0.1) -> PreTrainedModel:
    """A BERT of random weights, the same each time: 2 layers of 32."""
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=30522,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            num_labels=labels,
            initializer_range=0.15,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def weights(network: PreTrainedModel) -> torch.Tensor:
    """Every weight in one row, a copy."""
    return torch.cat([parameter.detach().ravel().clone() for parameter in network.parameters()])


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(weights_source("all-minilm-l6-v2"))


@pytest.fixture(scope="session")
def splits() -> Splits:
    config = DataConfig(limit=80)
    return split_data(load_data(config, 1), config, 1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Makes a context under `tmp_path`, by name."""

    def make(name: str = "tiny", seed: int = 1) -> TrainingContext:
        scratch = tmp_path / name
        return TrainingContext(name, scratch / "bundle", scratch, seed, Progress(console=Console(quiet=True)))

    return make


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """For a network so small, threads cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
