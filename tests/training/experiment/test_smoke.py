"""The smoke size: what it replaces, that every experiment runs with it, and that it keeps away from the real model."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from rich.console import Console

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.training.conftest import environment
from training.config.network import NetworkConfig
from training.data import DataConfig
from training.experiment.loader import experiment_files, load_experiment
from training.experiment.schema import Experiment
from training.experiment.smoke import LAYOUT, TEACHER
from training.pipeline.run import run_experiment
from training.reporting.run_report import Outcome

TRIED = {
    "cascade": ["static_linear", "head", "cascade"],
    "ag_news_comparison": ["distilbert"],
    "ag_news_tinybert": ["tinybert"],
    "ag_news_unlabelled": ["self_trained"],
    "distillation": [TEACHER, "student", "linear_student"],
    "product_reviews": ["regularised"],
    "quickstart": ["static_linear", "minilm_3", "cascade", "tfidf_catboost"],
    "regularisers": ["awp_mixout"],
    "support_tweets": ["tfidf_catboost"],
    "systematic_finetuning": ["tfidf_mlp", "minilm_1e4"],
}
"""Which of an experiment's candidates a test trains: one of each kind, the one with the most options. A network that
differs from one of these in numbers alone shows nothing more."""

FEWER_TRIALS = {"systematic_finetuning": ["search.trials=2", "search.startup_trials=2"]}

FASTER = [
    "gate.resamples=200",
    "behaviour.texts=5",
    "analysis.label_errors=false",
    "data.checks.language_texts=20",
]
"""What other tests cover."""

OWN = """
description: a file of one's own
data: {source: acme/tickets, hub_splits: [train], text_column: body, label_column: team}
candidates:
  distil: {kind: network, weights: distilbert/distilbert-base-uncased, layers: [0, 5], epochs: 4}
  bert: {kind: network, weights: prajjwal1/bert-mini, epochs: 4}
  logreg: {kind: tfidf_logreg}
smoke:
  candidates.bert.epochs: 1
  candidates.logreg.max_features: 50
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "tickets.yaml"
    path.write_text(OWN, encoding="utf-8")
    return str(path)


def test_what_has_to_be_fetched_is_replaced_and_said(own: str) -> None:
    small = load_experiment(own, smoke=True)
    assert (small.name, small.data.source, small.data.text_column) == ("tickets-smoke", "bbc_news", None)
    distil, bert = small.candidates["distil"], small.candidates["bert"]
    assert isinstance(distil, NetworkConfig)
    assert isinstance(bert, NetworkConfig)
    assert (distil.weights, distil.layers) == ("random-distilbert", 2)
    assert (bert.weights, bert.layers, bert.epochs) == ("all-minilm-l6-v2", 2, 1)
    assert small.candidates["logreg"].max_features == 50  # type: ignore[union-attr]
    assert small.smoke_tags() == {
        "smoke": "true",
        "smoke_replaced": "data.source: acme/tickets → bbc_news; "
        "candidates.distil.weights: distilbert/distilbert-base-uncased → random-distilbert; "
        "candidates.bert.weights: prajjwal1/bert-mini → all-minilm-l6-v2",
    }


def test_larger_teachers_are_replaced_unless_they_are_set() -> None:
    key = "candidates.taught_by_larger.self_training.teacher_weights"
    small = load_experiment("ag_news_unlabelled", smoke=True)
    assert (
        f"{key}: sentence-transformers/all-mpnet-base-v2 → all-minilm-l6-v2"
        in small.smoke_tags()["smoke_replaced"]
    )
    taught = small.candidates["taught_by_larger"]
    assert isinstance(taught, NetworkConfig)
    assert taught.self_training is not None
    assert taught.self_training.teacher_weights == "all-minilm-l6-v2"
    kept = load_experiment("ag_news_unlabelled", [f"{key}=random-bert"], smoke=True)
    assert key not in kept.smoke_tags()["smoke_replaced"]


def test_what_the_user_sets_stays_as_set(own: str) -> None:
    overrides = [
        "data.source=mine.csv", "candidates.bert.weights=some/folder", "candidates.bert.epochs=7",
        "candidates.logreg=null",
    ]  # fmt: skip
    small = load_experiment(own, overrides, smoke=True)
    bert = small.candidates["bert"]
    assert isinstance(bert, NetworkConfig)
    assert (small.data.source, small.data.text_column) == ("mine.csv", "body")
    assert (bert.weights, bert.epochs) == ("some/folder", 7)
    assert "logreg" not in small.candidates
    assert list(small.replaced or {}) == ["candidates.distil.weights"]


def test_a_smoke_run_has_a_registered_name_of_its_own(own: str, tmp_path: Path) -> None:
    real, small = load_experiment(own), load_experiment(own, smoke=True)
    assert (real.registered_name("news"), small.registered_name("news")) == ("news", "news-smoke")
    named = load_experiment(own, ["model_name=tickets"], smoke=True)
    assert named.registered_name("news") == "tickets-smoke"
    # The file that the run logs says so too, so running that again cannot meet the real champion.
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(small.as_yaml(), encoding="utf-8")
    assert load_experiment(str(resolved)).registered_name("news") == "news-smoke"
    assert real.smoke_tags() == {}


def test_students_get_a_teacher_in_the_same_run() -> None:
    small = load_experiment("distillation", smoke=True)
    assert next(iter(small.candidates)) == TEACHER
    assert not small.may_win(TEACHER)
    assert small.candidates["student"].teacher == TEACHER  # type: ignore[union-attr]
    chosen = load_experiment("distillation", ["candidates.student.teacher='3'"], smoke=True)
    assert chosen.candidates["student"].teacher == "3"  # type: ignore[union-attr]


def test_every_key_of_a_source_s_layout_is_known() -> None:
    assert set(LAYOUT) <= set(DataConfig.model_fields)


def _run(experiment: Experiment, var: Path) -> tuple[Outcome, str]:
    stream = io.StringIO()
    with environment(var):
        outcome = run_experiment(experiment, console=Console(file=stream, width=120))
    return outcome, stream.getvalue()


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smoke") / "var"


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of other machines that were looked up; each look-up fails."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any, **more: Any) -> Any:
        if host in ("localhost", "127.0.0.1", "::1", None, ""):
            return real(host, *rest, **more)
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "there is no network")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("name", [file.stem for file in experiment_files()])
def test_every_experiment_runs_with_it_on_nothing_but_packages(
    name: str, var: Path, looked_up: list[str]
) -> None:
    faster = [*FASTER, *FEWER_TRIALS.get(name, [])]
    experiment = load_experiment(name, faster, smoke=True)
    left_out = [f"candidates.{other}=null" for other in experiment.candidates if other not in TRIED[name]]
    experiment = load_experiment(name, [*faster, *left_out], smoke=True)
    outcome, printed = _run(experiment, var)
    assert outcome.failed == {}
    assert "Smoke run" in printed
    for what in (experiment.replaced or {}).values():
        assert what in printed
    assert outcome.version is not None
    assert outcome.version.name == experiment.registered_name("news")
    assert outcome.version.tags["smoke"] == "true"
    settings = TrackingSettings(var_dir=var)
    parent = MlflowClient(tracking_uri=settings.tracking_uri).get_run(outcome.run_id)
    assert parent.data.tags["smoke_replaced"] == experiment.smoke_tags()["smoke_replaced"]
    assert ModelRegistry(settings).versions() == [], "the real name has got no version"
    assert not looked_up, "somebody wanted the network"
