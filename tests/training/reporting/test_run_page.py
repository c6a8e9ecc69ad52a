"""The page of a run and the model card: what they show are the figures of the run."""

from __future__ import annotations

import html
import re

import mlflow
import pytest
from huggingface_hub import ModelCard
from mlflow.tracking import MlflowClient

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.training.conftest import Trained

pytestmark = pytest.mark.slow


def test_the_run_page_shows_result_gate_and_candidates(first_run: Trained) -> None:
    outcome = first_run.outcome
    page = html.unescape((outcome.report / "index.html").read_text(encoding="utf-8"))
    winner = next(item for item in outcome.evaluated if item.name == outcome.winner)
    assert outcome.decision is not None
    assert outcome.version is not None
    assert f"<h1>{winner.name}: macro-F1 {winner.test.macro_f1.value:.3f}</h1>" in page
    assert f"version {outcome.version.version} of {outcome.version.name}" in page
    for item in outcome.evaluated:
        assert str(item.test.macro_f1) in page
    for check in outcome.decision.checks:
        assert check.title in page
    assert "broken (failed)" in page
    assert page.count(">baseline</span>") == 2


def test_the_run_page_needs_no_other_file(first_run: Trained) -> None:
    page = (first_run.outcome.report / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert len(sources) >= 6
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.findall(r'(?:href|src)="(?:https?:)?//', page)
    linked = re.findall(r'href="([^"]+)"', page)
    assert {"gate.html", "data/data.html", "model_card.md"} <= set(linked)
    assert all((first_run.outcome.report / name).is_file() for name in linked)


def test_mlflow_links_the_report(first_run: Trained) -> None:
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=first_run.var).tracking_uri)
    run = client.get_run(first_run.outcome.run_id)
    address = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/report/index.html"
    assert address in run.data.tags["mlflow.note.content"]
    written = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/report/index.html")
    assert written == (first_run.outcome.report / "index.html").read_text(encoding="utf-8")


def test_the_model_card_has_the_figures_of_the_run(first_run: Trained) -> None:
    outcome = first_run.outcome
    winner = next(item for item in outcome.evaluated if item.name == outcome.winner)
    assert outcome.version is not None
    registry = ModelRegistry(TrackingSettings(var_dir=first_run.var))
    bundle = registry.fetch(registry.by_version(outcome.version.version))
    text = (bundle / "report" / "model_card.md").read_text(encoding="utf-8")
    assert text == (outcome.report / "model_card.md").read_text(encoding="utf-8")
    data = ModelCard(text).data
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    assert found == {
        "f1": round(winner.test.macro_f1.value, 4),
        "accuracy": round(winner.test.accuracy.value, 4),
    }
    assert data.pipeline_tag == "text-classification"
    assert data.language == "en"
    assert data.base_model == "all-minilm-l6-v2"
    for label, scores in winner.test.classes.items():
        assert f"| {label} | {scores.texts} |" in text
