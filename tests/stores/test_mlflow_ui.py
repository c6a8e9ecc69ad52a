"""MLflow's pages open on the runs of an experiment, in a real browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from playwright.sync_api import expect

from stores.mlflow_client import EXPERIMENT_KIND
from stores.mlflow_ui import experiment_links
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.support.browser import chromium
from tests.support.registries import with_tables
from tests.support.servers import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    var = with_tables(tmp_path / "var")
    registry = ModelRegistry(
        TrackingSettings(var_dir=var, mlflow_tracking_uri=f"sqlite:///{var / 'mlflow.db'}")
    )
    for experiment, run in (("older", "tfidf_logreg"), ("newer", "minilm")):
        with registry.run(experiment, run):
            mlflow.log_metric("test_macro_f1", 0.97)
    registry.experiment_id("without runs")
    return registry


def test_links_lead_to_the_experiments_that_have_runs(registry: ModelRegistry) -> None:
    links = experiment_links(registry, "http://mlflow:5000")
    assert [name for name, _ in links] == ["newer", "older"]
    id_ = registry.experiment_id("newer")
    assert links[0][1] == f"http://mlflow:5000/#/experiments/{id_}/runs?workflowType=machine_learning"
    assert registry.client.get_experiment(id_).tags[EXPERIMENT_KIND] == "custom_model_development"


@pytest.mark.slow
def test_the_printed_link_shows_the_runs(registry: ModelRegistry) -> None:
    var = registry.settings.var_dir
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stores.mlflow_ui", "--port", str(free_port())],
        cwd=ROOT,
        env=environment | {"VAR_DIR": str(var), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while (line := process.stdout.readline()) and "Model training" not in line:
            said += line
        link = re.search(r"newer +(http://\S+)", said)
        assert link, said
        with chromium() as browser:
            page = browser.new_page()
            page.goto(link[1])
            expect(page.get_by_role("link", name="minilm")).to_be_visible(timeout=60_000)
            page.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
    assert process.returncode == 0
