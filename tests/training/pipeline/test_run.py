"""The whole of a training run, at a tiny size: what it leaves in the registry, in MLflow and on disk."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console
from rich.progress import Progress

from classifier import Classifier
from classifier.manifest import sha256_of
from classifier.reference import read_reference
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.browser import chromium
from tests.training.conftest import Trained, environment
from training.config.evaluation import AnalysisConfig
from training.data import Part, load_data, split_data
from training.evaluation.candidate import evaluate_candidate
from training.kinds.candidate import train_candidate
from training.models.result import TrainingContext
from training.reporting.past_runs import comparison_tables
from training.reporting.run_report import write_bundle_report

pytestmark = pytest.mark.slow


def _registry(run: Trained) -> ModelRegistry:
    return ModelRegistry(TrackingSettings(var_dir=run.var))


def _bundle(run: Trained) -> Path:
    assert run.outcome.version is not None
    registry = _registry(run)
    return registry.fetch(registry.by_version(run.outcome.version.version))


def _candidates(run: Trained) -> dict[str, Run]:
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=run.var).tracking_uri)
    parent = client.get_run(run.outcome.run_id)
    found = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{run.outcome.run_id}'"
    )
    return {item.info.run_name: item for item in found}


def test_first_winner_becomes_champion_with_its_reasons(first_run: Trained) -> None:
    champion = _registry(first_run).by_alias("champion")
    assert first_run.outcome.version is not None
    assert champion.version == first_run.outcome.version.version == "1"
    assert champion.tags["candidate"] == "minilm_3"
    assert champion.tags["gate"] == "passed"
    assert messages.GATE_NO_CHAMPION in champion.tags["gate_reasons"]
    assert float(champion.tags["test_macro_f1_low"]) <= float(champion.tags["test_macro_f1"])


def test_baseline_does_not_win_but_is_said_to_be_as_good(first_run: Trained) -> None:
    by_name = {item.name: item for item in first_run.outcome.evaluated}
    assert (
        by_name["tfidf_logreg"].validation.macro_f1.value > by_name["minilm_3"].validation.macro_f1.value
    ), "at this size the baseline is better, which makes the case"
    assert first_run.outcome.winner == "minilm_3"
    assert messages.BASELINE_COMPARED in first_run.printed


def test_failed_candidate_is_reported_and_loses_nobody_else(first_run: Trained) -> None:
    assert list(first_run.outcome.failed) == ["broken"]
    assert "no/such/folder" in first_run.outcome.failed["broken"]
    assert [item.name for item in first_run.outcome.evaluated] == [
        "minilm_3",
        "tfidf_logreg",
        "tfidf_catboost",
    ]
    runs = _candidates(first_run)
    assert runs["broken"].info.status == "FAILED"
    assert "WeightsMissing" in runs["broken"].data.tags["failure"]
    assert runs["minilm_3"].info.status == "FINISHED"
    assert "broken (failed)" in first_run.printed


def test_each_candidate_is_a_run_with_parameters_and_figures(first_run: Trained) -> None:
    runs = _candidates(first_run)
    network = runs["minilm_3"]
    assert network.data.params["learning_rate"] == str(
        first_run.experiment.candidates["minilm_3"].learning_rate
    )  # type: ignore[union-attr]
    for name in ("epoch_macro_f1", "epoch_validation_loss", "train_loss", "test_macro_f1_low", "temperature"):
        assert name in network.data.metrics
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=first_run.var).tracking_uri)
    inputs = client.get_run(network.info.run_id).inputs.dataset_inputs
    assert {item.tags[0].value for item in inputs} == {"train", "validation", "test"}
    pictures = {
        Path(item.path).name
        for item in client.list_artifacts(network.info.run_id, "pictures")
        if not item.is_dir
    }
    assert pictures == {
        "confusion_matrix.png",
        "class_f1.png",
        "reliability.png",
        "final_metrics.png",
        "loss.png",
        "accuracy.png",
        "f1.png",
        "metrics_over_time.png",
    }


def test_candidates_are_timed_again_in_turns(first_run: Trained) -> None:
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=first_run.var).tracking_uri)
    runs = _candidates(first_run)
    for item in first_run.outcome.evaluated:
        told = client.get_metric_history(runs[item.name].info.run_id, "latency_ms_p50")
        assert [figure.value for figure in told][-1:] == [item.milliseconds]
        assert len(told) == 2, "when it was evaluated, and beside the others"


def test_parent_run_knows_its_data_and_experiment(first_run: Trained) -> None:
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=first_run.var).tracking_uri)
    parent = client.get_run(first_run.outcome.run_id)
    contexts = {item.tags[0].value for item in parent.inputs.dataset_inputs}
    assert contexts == {"train", "validation", "test"}
    assert parent.data.tags["winner"] == "minilm_3"
    written = mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/experiment.yaml")
    assert written == first_run.experiment.model_copy(update={"model_name": "news"}).as_yaml()


def test_bundle_holds_what_serving_and_monitoring_need(first_run: Trained) -> None:
    folder = _bundle(first_run)
    classifier = Classifier.load(folder)
    frame = read_reference(folder)
    assert len(frame) == first_run.outcome.evaluated[0].test.texts
    assert np.allclose(classifier.predict(list(frame["text"])).max(axis=1), frame["confidence"], atol=1e-4)
    golden = json.loads((folder / "golden.json").read_text())["texts"]
    assert len(golden) == len(classifier.labels)
    assert max(len(row["text"]) for row in golden) <= 400
    report = {path.name for path in (folder / "report").iterdir()}
    assert report >= {
        "metrics.json",
        "decision.md",
        "comparison.png",
        "confusion_matrix.png",
        "experiment.yaml",
        "gate.html",
    }
    metrics = json.loads((folder / "report" / "metrics.json").read_text())
    assert metrics["test"]["macro_f1"]["low"] <= metrics["test"]["macro_f1"]["value"]
    assert classifier.manifest["data"]["experiment"] == "quickstart"


def test_bundle_runs_without_torch(first_run: Trained) -> None:
    script = (
        "import sys; from classifier import Classifier; "
        f"print(Classifier.load({str(_bundle(first_run))!r}).predict(['Shares fell.']).sum()); "
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    total, loaded = ran.stdout.splitlines()
    assert float(total) == pytest.approx(1, abs=1e-5)
    assert loaded == "False False"


def test_second_run_gives_the_same_model_and_only_challenges(first_run: Trained, second_run: Trained) -> None:
    first, second = first_run.outcome.evaluated, second_run.outcome.evaluated
    assert [item.test for item in first] == [item.test for item in second]
    assert sha256_of(_bundle(first_run) / "model.onnx") == sha256_of(_bundle(second_run) / "model.onnx")
    aliases = _registry(first_run).aliases()
    assert aliases == {"champion": "1", "challenger": "2"}
    assert second_run.outcome.decision is not None
    assert not second_run.outcome.decision.promoted
    assert messages.GATE_SAME_ANSWERS in " ".join(second_run.outcome.decision.reasons)
    assert _registry(first_run).by_version("2").tags["compared_with_version"] == "1"


def test_nothing_but_reports_and_the_registry_is_left(first_run: Trained) -> None:
    assert list((first_run.var / "training").iterdir()) == []
    assert (first_run.outcome.report / "decision.md").is_file()
    assert (first_run.outcome.report / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_compare_shows_candidates_with_intervals(second_run: Trained) -> None:
    with environment(second_run.var):
        (last,) = comparison_tables(None, every=False)
        everything = comparison_tables("quickstart", every=True)
    assert [table.row_count for table in everything] == [4, 4]
    names = list(last.columns[0].cells)
    assert "minilm_3 (winner)" in names
    assert names[-1] == "broken (failed)"
    low, high = next(iter(last.columns[3].cells)).split("–")
    assert float(low) < float(high)


def test_the_gate_page_shows_the_decision(first_run: Trained, second_run: Trained) -> None:
    travelling = _bundle(first_run) / "report" / "gate.html"
    first, second = (run.outcome.report / "gate.html" for run in (first_run, second_run))
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path, verdict in (
            (first, "becomes champion"),
            (second, "stays challenger"),
            (travelling, "becomes champion"),
        ):
            page.goto(path.as_uri())
            assert page.title() == page.inner_text("h1") == f"minilm_3 {verdict}"
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 100)")
            words = page.inner_text("body")
            assert messages.PAGE_MACRO_F1 in words
            assert (messages.GATE_CONFUSION_OF_CHAMPION in words) == (path is second)
        assert all(url.startswith(("file:", "data:")) for url in asked)
    assert "<blockquote>" not in travelling.read_text(encoding="utf-8"), "texts stay out of the bundle"


def test_behaviour_is_a_metric_of_the_run_and_a_version_tag(first_run: Trained, second_run: Trained) -> None:
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=first_run.var).tracking_uri)
    metrics = client.get_run(first_run.outcome.run_id).data.metrics
    share = metrics["behaviour_invariance_case"]
    assert metrics["behaviour_invariance_case_low"] <= share <= metrics["behaviour_invariance_case_high"]
    tags = _registry(first_run).by_version("1").tags
    assert tags["gate_max_megabytes"].startswith("no limit: ")
    assert tags["gate_invariance_case"].split(":")[0] in ("passed", "warning")
    assert _registry(second_run).by_version("2").tags["gate_class_fall"].startswith("passed: ")


def test_the_data_are_checked_before_anything_is_trained(first_run: Trained) -> None:
    assert messages.DATA_NO_COPIES in first_run.printed
    assert (first_run.outcome.report / "data" / "data.html").is_file()
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=first_run.var).tracking_uri)
    parent = client.get_run(first_run.outcome.run_id)
    assert parent.data.metrics["data_leaks"] == 0
    assert parent.data.metrics["data_truncated_minilm_3"] == 1
    assert "data_truncated_broken" not in parent.data.metrics
    findings = mlflow.artifacts.load_dict(f"{parent.info.artifact_uri}/data_checks.json")["findings"]
    assert findings[0]["name"] == "leaks"


def test_mistakes_are_written_down_and_stay_out_of_the_bundle(first_run: Trained, tmp_path: Path) -> None:
    report = first_run.outcome.report
    page = (report / "minilm_3" / "errors" / "errors.html").read_text(encoding="utf-8")
    assert messages.PAGE_MISTAKES in page
    with (report / "minilm_3" / "errors" / "mistakes.csv").open(encoding="utf-8", newline="") as file:
        mistakes = list(csv.DictReader(file))
    winner = next(item for item in first_run.outcome.evaluated if item.name == "minilm_3")
    wrong = winner.test.texts - sum(row[place] for place, row in enumerate(winner.test.confusion))
    assert len(mistakes) == min(wrong, first_run.experiment.analysis.mistakes)
    sure = [float(row["confidence"]) for row in mistakes]
    assert sure == sorted(sure, reverse=True)
    assert not (_bundle(first_run) / "report" / "errors").exists()
    assert not (_bundle(first_run) / "report" / "label_errors.csv").exists()
    open_handed = first_run.experiment.model_copy(update={"analysis": AnalysisConfig(texts_in_bundle=True)})
    assert first_run.outcome.decision is not None
    shown = shutil.copytree(report, tmp_path / "run")
    (shown / "label_errors.csv").touch()  # written only where a label looks wrong
    write_bundle_report(tmp_path, shown, open_handed, winner, first_run.outcome.decision)
    assert (tmp_path / "report" / "errors" / "mistakes.csv").is_file()
    assert (tmp_path / "report" / "label_errors.csv").is_file()
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=first_run.var).tracking_uri)
    metrics = client.get_run(first_run.outcome.run_id).data.metrics
    listed = sum(metrics[f"probable_label_errors_{part}"] for part in ("train", "validation", "test"))
    if not listed:
        assert messages.LABELS_NONE_WRONG in first_run.printed
        return
    with (report / "label_errors.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == listed
    assert f"{listed:.0f} labels look wrong" in first_run.printed


def test_calibration_listens_to_the_validation_part_only(first_run: Trained, tmp_path: Path) -> None:
    """Other test texts and labels change the judgement, not the temperature."""
    experiment = first_run.experiment
    splits = split_data(load_data(experiment.data, experiment.seed), experiment.data, experiment.seed)
    winner = next(item for item in first_run.outcome.evaluated if item.name == "tfidf_logreg")
    other = dataclasses.replace(
        splits, test=Part(splits.holdout.texts, splits.holdout.labels[1:] + splits.holdout.labels[:1])
    )
    progress = Progress(console=Console(file=io.StringIO()))
    again = {}
    for name, parts in (("same", splits), ("other", other)):
        place = TrainingContext("tfidf_logreg", tmp_path / name, tmp_path, experiment.seed, progress)
        place.bundle.mkdir()
        trained = train_candidate(experiment.candidates["tfidf_logreg"], parts, place)
        again[name] = evaluate_candidate(
            "tfidf_logreg", trained, parts, place.bundle, tmp_path / name, experiment.gate, seed=1
        )
    temperatures = {item.description.temperature for item in (winner, *again.values())}
    assert len(temperatures) == 1
    assert again["other"].test.macro_f1.value < again["same"].test.macro_f1.value
