"""The experiments on AG News as they stand in their files: data set and weights come from the hub, by their real names.

The hub is a server on loopback. Its repositories have the files that the real ones have, two of them as was usual
before 2020: `config.json` without a kind of model, `vocab.txt` and no tokenizer, `pytorch_model.bin`. The networks in
them are small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from mlflow import MlflowClient
from mlflow.entities import Run
from transformers import AutoTokenizer, BertConfig, BertModel, DistilBertConfig, DistilBertForMaskedLM

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.support.bundles import bbc_articles
from tests.support.hub import hub
from tests.support.networks import minilm_folder

TOPICS = ("World", "Sports", "Business", "Sci/Tech")
_BBC = {"politics": "World", "sports": "Sports", "business": "Business", "tech": "Sci/Tech"}
_OLD_KEYS = (
    "attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range",
    "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "type_vocab_size",
    "vocab_size",
)  # fmt: skip
SMALL = [
    "data.split={train_texts: 48, validation_texts: 24, test_texts: 40}",
    "data.checks.language_texts=20",
    "gate.resamples=200",
    "behaviour.texts=5",
    "analysis.label_errors=false",
]
_SCRIPT = """
import sys
from stores.telemetry import turn_telemetry_off
turn_telemetry_off()
from training.commands.cli import main
for run in sys.argv[1].split(";"):
    main.main(run.split("|"), standalone_mode=False)
"""


def _vocabulary() -> list[str]:
    numbers = json.loads((minilm_folder() / "tokenizer.json").read_text())["model"]["vocab"]
    return sorted(numbers, key=numbers.__getitem__)


def _old_bert(folder: Path, vocabulary: list[str], width: int) -> None:
    folder.mkdir(parents=True)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
    )
    written = config.to_dict()
    (folder / "config.json").write_text(json.dumps({key: written[key] for key in _OLD_KEYS}))
    state = BertModel(config).state_dict()
    torch.save({f"bert.{name}": value for name, value in state.items()}, folder / "pytorch_model.bin")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")


def _distilbert(folder: Path, vocabulary: list[str]) -> None:
    config = DistilBertConfig(vocab_size=len(vocabulary), dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    DistilBertForMaskedLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 512}')


def _ag_news(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    pairs = [(text[:200], _BBC[label]) for text, label in zip(*bbc_articles(), strict=True) if label in _BBC]
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(TOPICS))})
    for split, rows in (("train", pairs[::6]), ("test", pairs[3::60])):
        columns = {"text": [text for text, _ in rows], "label": [topic for _, topic in rows]}
        Dataset.from_dict(columns, features=features).to_parquet(
            folder / "data" / f"{split}-00000-of-00001.parquet"
        )
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
        "  - split: test\n    path: data/test-*\n---\n"
    )


@dataclass(frozen=True)
class Ran:
    var: Path
    printed: str
    asked: set[str]

    def run_of(self, experiment: str, candidate: str) -> Run:
        client = MlflowClient(TrackingSettings(var_dir=self.var).tracking_uri)
        found = client.get_experiment_by_name(experiment)
        assert found is not None
        runs = client.search_runs(
            [found.experiment_id], f"attributes.run_name = '{candidate}' and attributes.status = 'FINISHED'"
        )
        return runs[0]

    def artifacts(self, run: Run) -> set[str]:
        client = MlflowClient(TrackingSettings(var_dir=self.var).tracking_uri)
        found, folders = set(), [""]
        while folders:
            for entry in client.list_artifacts(run.info.run_id, folders.pop()):
                found.add(entry.path)
                if entry.is_dir:
                    folders.append(entry.path)
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("hub")
    root, var, vocabulary = folder / "root", folder / "var", _vocabulary()
    torch.manual_seed(0)
    _old_bert(root / "models" / "huawei-noah" / "TinyBERT_General_4L_312D", vocabulary, 24)
    _old_bert(root / "models" / "prajjwal1" / "bert-mini", vocabulary, 32)
    _distilbert(root / "models" / "distilbert" / "distilbert-base-uncased", vocabulary)
    _ag_news(root / "datasets" / "fancyzhx" / "ag_news")
    runs = []
    for experiment, candidates in (
        ("ag_news_tinybert", ["tinybert"]),
        ("ag_news_comparison", ["tinybert", "bert_mini", "distilbert", "minilm"]),
    ):
        changes = [*SMALL, *(f"candidates.{name}.max_length=16" for name in candidates)]
        changes += [f"candidates.{name}.epochs=1" for name in candidates]
        # The one whose weights are not small here: they come from their package.
        changes += ["candidates.minilm.layers=1"] if "minilm" in candidates else []
        changes += ["candidates.tinybert.schedule.evaluate_every=2"] if len(candidates) == 1 else []
        runs.append("|".join(["run", experiment, *(part for item in changes for part in ("--set", item))]))
    with hub(root) as address:
        environment = {
            "HF_ENDPOINT": address,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(folder / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "VAR_DIR": str(var),
            "NO_PROXY": "127.0.0.1",
        }
        result = subprocess.run(
            [sys.executable, "-c", _SCRIPT, ";".join(runs)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    hubs = {path.name for path in (var / "huggingface").rglob("models--*")} | {
        path.name for path in (folder / "home").rglob("models--*")
    }
    return Ran(var, result.stdout, hubs)


pytestmark = pytest.mark.slow


def test_data_and_weights_came_from_the_hub(ran: Ran) -> None:
    assert ran.asked >= {
        "models--huawei-noah--TinyBERT_General_4L_312D",
        "models--prajjwal1--bert-mini",
        "models--distilbert--distilbert-base-uncased",
    }
    run = ran.run_of("ag_news_tinybert", "tinybert")
    assert run.data.params["weights"] == "huawei-noah/TinyBERT_General_4L_312D"
    assert "Smoke run" not in ran.printed


def test_tinybert_is_followed_and_everything_is_kept(ran: Ran) -> None:
    run = ran.run_of("ag_news_tinybert", "tinybert")
    client = MlflowClient(TrackingSettings(var_dir=ran.var).tracking_uri)
    for metric in ("accuracy", "macro_f1", "macro_precision", "macro_recall"):
        found = [
            client.get_metric_history(run.info.run_id, key)
            for key in run.data.metrics
            if key.endswith(metric)
        ]
        assert max(len(history) for history in found) >= 2, metric
    names = {Path(path).name for path in ran.artifacts(run)}
    wanted = {
        "loss.png",
        "accuracy.png",
        "f1.png",
        "metrics_over_time.png",
        "final_metrics.png",
        "confusion_matrix.png",
    }
    assert wanted <= names
    (kept,) = (ran.var / "reports").glob("ag_news_tinybert-*/training/tinybert")
    assert (kept / "model" / "model.safetensors").is_file()
    assert list((kept / "checkpoints").glob("checkpoint-*/trainer_state.json"))
    assert list((kept / "tensorboard").glob("events.out.*"))
    assert "ag_news_tinybert" in (ran.var / "logs" / "training.log").read_text()


def test_the_comparison_compares_all_four(ran: Ran) -> None:
    registry = ModelRegistry(TrackingSettings(var_dir=ran.var, model_name="ag_news"))
    assert len(registry.versions()) == 2
    folder = max((ran.var / "reports").glob("ag_news_comparison*"))
    words = (folder / "conclusion.md").read_text()
    for name in ("tinybert", "bert_mini", "distilbert", "minilm"):
        assert f"| {name} |" in words
        assert {"accuracy.png", "f1.png", "loss.png"} <= {path.name for path in (folder / name).iterdir()}
    compared = {path.stem for path in (folder / "compared").iterdir()}
    assert compared == {"accuracy", "accuracy_over_time", "all_metrics", "f1", "radar"}
