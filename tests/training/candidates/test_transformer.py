"""Weights, layers, export and determinism of networks, on a small random one and on the packaged MiniLM."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from classifier import Classifier, Description
from tests import golden_messages as messages
from tests.support.bundles import TOPICS, bbc_part
from tests.support.hub import hub
from training.config.network import NetworkConfig
from training.data import DataConfig, load_data, split_data
from training.errors import ParityError, WeightsMissing
from training.export.onnx import check_parity, export_network, torch_probabilities
from training.finetuning.loop import finetune
from training.models.result import TrainingContext
from training.models.weights import keep_layers, load_network, weights_source

SMALL = {"vocab_size": 30522, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
LIVELY = 0.15  # standard deviation of random weights, so that texts are told apart


def small_bert(layers: int = 2) -> PreTrainedModel:
    torch.manual_seed(0)
    network = BertForSequenceClassification(
        BertConfig(**SMALL, num_hidden_layers=layers, num_labels=len(TOPICS), initializer_range=LIVELY)
    )
    torch.nn.init.normal_(network.classifier.weight, std=1.0)
    return network


def small_distilbert() -> PreTrainedModel:
    torch.manual_seed(0)
    network = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=30522,
            dim=32,
            n_heads=2,
            hidden_dim=64,
            n_layers=3,
            num_labels=len(TOPICS),
            initializer_range=LIVELY,
        )
    )
    torch.nn.init.normal_(network.classifier.weight, std=1.0)
    return network


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(weights_source("all-minilm-l6-v2"))


def description(max_length: int = 48) -> Description:
    return Description(kind="onnx", model_file="model.onnx", labels=TOPICS, max_length=max_length)


@pytest.mark.parametrize("make", [small_bert, small_distilbert])
def test_export_agrees_with_torch_on_texts_of_every_length(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, make: type[PreTrainedModel]
) -> None:
    texts = ["", "One.", *bbc_part(3, step=200)[0]]
    network = make()
    difference = export_network(network, tokenizer, tmp_path, description(), texts=texts, tolerance=1e-4)
    assert difference < 1e-4
    # Other batch sizes and lengths than it was traced with.
    classifier = Classifier.load(tmp_path, verify=False)
    one_by_one = np.concatenate([classifier.predict([text]) for text in texts])
    expected = torch_probabilities(network, tokenizer, texts, max_length=48)
    assert np.abs(one_by_one - expected).max() < 1e-4
    assert expected.std(axis=0).max() > 1e-3  # the texts are told apart, so agreement says something


def test_export_that_differs_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    texts = bbc_part(3, step=200)[0]
    network = small_bert()
    export_network(network, tokenizer, tmp_path, description(), texts=texts, tolerance=1e-4)
    with torch.no_grad():
        network.get_parameter("classifier.bias")[1] += 2
    changed = torch_probabilities(network, tokenizer, texts, max_length=48)
    with pytest.raises(
        ParityError,
        match=messages.EXPORT_DIFFERS,
    ):
        check_parity(Classifier.load(tmp_path, verify=False), texts, changed, tolerance=1e-4)


def test_parity_covers_the_cut_not_the_network_alone(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = bbc_part(3, step=200)[0]
    network = small_bert()
    export_network(network, tokenizer, tmp_path, description(48), texts=texts, tolerance=1e-4)
    description(40).write(tmp_path)
    longer = torch_probabilities(network, tokenizer, texts, max_length=48)
    with pytest.raises(ParityError):
        check_parity(Classifier.load(tmp_path, verify=False), texts, longer, tolerance=1e-4)


def test_layers_are_kept_as_asked() -> None:
    network = small_bert(4)
    second = network.bert.encoder.layer[1]
    keep_layers(network, (1, 3))
    assert network.config.num_hidden_layers == 2
    assert network.bert.encoder.layer[0] is second
    distil = small_distilbert()
    keep_layers(distil, 1)
    assert len(distil.distilbert.transformer.layer) == 1
    with pytest.raises(WeightsMissing, match=messages.LAYER_MISSING):
        keep_layers(network, (0, 9))


def test_packaged_weights_load_with_a_head_for_the_labels() -> None:
    network, tokenizer = load_network("all-minilm-l6-v2", ("no", "yes"), 1)
    assert network.config.id2label == {0: "no", 1: "yes"}
    assert network.config.num_hidden_layers == 1
    assert tokenizer.is_fast
    assert "sentence_transformers" not in sys.modules


def test_missing_weights_are_named_with_what_there_is() -> None:
    with pytest.raises(WeightsMissing, match=messages.WEIGHTS_MISSING):
        load_network("no/such/folder/at/all", ("no", "yes"), None)


@pytest.mark.slow
def test_hub_names_are_loaded_from_the_hub(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    folder = tmp_path / "models" / "someone" / "bert-small"
    small_bert().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    script = (
        "from training.models.weights import load_network\n"
        "network, tokenizer = load_network('someone/bert-small', ('no', 'yes'), 1)\n"
        "print(network.config.hidden_size, network.config.num_labels, tokenizer.is_fast)"
    )
    with hub(tmp_path) as address:
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env={
                "HF_ENDPOINT": address,
                "HF_HOME": str(tmp_path / "cache"),
                "PATH": "",
                "HF_HUB_DISABLE_XET": "1",
            },
            capture_output=True,
            text=True,
        )
    assert ran.stdout.split() == ["32", "2", "True"], ran.stderr


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    config = DataConfig(limit=80)
    splits = split_data(load_data(config, 1), config, 1)

    def weights(seed: int, name: str) -> torch.Tensor:
        network = small_bert()
        progress = Progress(console=Console(quiet=True))
        context = TrainingContext("small", tmp_path, tmp_path / name, seed, progress)
        how = NetworkConfig(max_length=16, epochs=2, batch_size=8)
        history = finetune(network, tokenizer, how, splits, context)
        assert [entry["epoch"] for entry in history.epochs] == [1, 2]
        assert {"train_loss", "validation_loss", "macro_f1"} <= set(history.epochs[0])
        return torch.cat([parameter.detach().ravel() for parameter in network.parameters()])

    first = weights(1, "first")
    assert torch.equal(first, weights(1, "again"))
    assert not torch.equal(first, weights(2, "other"))
