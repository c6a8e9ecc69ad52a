"""The command over seeds, as a user types it: classical candidates, which train in a moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from training.commands.cli import main
from training.experiment.loader import load_experiment
from training.seed_comparison.statistics import Plan

EXPERIMENT = """
name: small
seed: 7
data: {source: bbc_news, limit: 120, split: {train: 0.4, validation: 0.2, test: 0.4, holdout: 0}}
candidates:
  few: {kind: tfidf_catboost, iterations: 3, max_features: 30, depth: 2}
  many: {kind: tfidf_logreg}
  broken: {kind: network, weights: no/such/folder/at/all}
"""


CASCADE = """
name: small
data: {source: bbc_news, limit: 600, split: {train: 0.4, validation: 0.3, test: 0.3, holdout: 0}}
candidates:
  linear: {kind: static_linear, weights: null}
  taught: {kind: static_linear, weights: null, ngram_max: 1}
  cascade: {kind: cascade, stages: [linear, taught], max_accuracy_loss: 0.1, max_class_loss: 0.3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "small.yaml").write_text(EXPERIMENT, encoding="utf-8")
    return folder


def compared(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        main,
        ["compare", str(folder / "small.yaml"), *arguments],
        env={
            "COLUMNS": "160",
            "VAR_DIR": str(folder / "var"),
            "MLFLOW_TRACKING_URI": None,
            "MODEL_NAME": None,
        },
        catch_exceptions=False,
    )


@pytest.fixture(scope="module")
def first(folder: Path) -> Result:
    return compared(folder, "--seeds", "2")


def report_of(folder: Path) -> Path:
    """The newest one."""
    return max((folder / "var" / "reports").glob("small-seeds-*"))


@pytest.mark.slow
def test_every_seed_is_a_run_and_nothing_is_registered(folder: Path, first: Result) -> None:
    assert first.exit_code == 0, first.output
    assert "4 trained, 0 from earlier, 2 failed" in first.stdout
    assert "broken, seed 8 failed" in first.stdout
    settings = TrackingSettings(var_dir=folder / "var")
    assert ModelRegistry(settings).versions() == []
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    (experiment,) = [item for item in client.search_experiments() if item.name == "small"]
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'seed'")
    by_status = {
        status: sorted(
            (run.data.tags["candidate"], run.data.tags["seed"]) for run in runs if run.info.status == status
        )
        for status in ("FINISHED", "FAILED")
    }
    assert by_status["FINISHED"] == [("few", "7"), ("few", "8"), ("many", "7"), ("many", "8")]
    assert by_status["FAILED"] == [("broken", "7"), ("broken", "8")]
    (parent,) = client.search_runs([experiment.experiment_id], "tags.kind = 'seeds'")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    finished = next(run for run in runs if run.data.tags["candidate"] == "many")
    assert {"test_macro_f1", "validation_macro_f1", "training_seconds", "latency_ms_p50"} <= set(
        finished.data.metrics
    )
    assert list((folder / "var" / "training").iterdir()) == []


@pytest.mark.slow
def test_the_report_gives_difference_certainty_and_cost(folder: Path, first: Result) -> None:
    report = report_of(folder)
    figures = json.loads((report / "seeds.json").read_text(encoding="utf-8"))
    texts = figures["texts"]
    assert (figures["reference"], sum(texts.values())) == ("few", 120)
    plain, many = figures["candidates"]
    assert many["verdict"] == "better"
    differences = [many["values"][seed] - plain["values"][seed] for seed in ("7", "8")]
    assert many["difference"]["value"] == pytest.approx(sum(differences) / 2)
    assert many["difference"]["low"] <= many["difference"]["value"] <= many["difference"]["high"]
    table = (report / "seeds.md").read_text(encoding="utf-8")
    mean = many["macro_f1"]
    assert f"| many | {mean['value']:.3f} ±{mean['high'] - mean['value']:.3f} |" in table
    assert (
        f"2 seeds, {texts['train']} training and {texts['test']} test texts of bbc_news, the same split"
        in table
    )
    assert "broken, seed 7 failed: WeightsMissing" in table
    assert (report / "seeds.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_is_done_is_not_trained_again(folder: Path, first: Result) -> None:
    note = "candidates.few.note=for people"  # changes nothing about the training
    options = ["--set", "candidates.broken=null", "--set", note]
    more = compared(folder, "--seeds", "3", "--against", "many", *options)
    assert "2 trained, 4 from earlier, 0 failed" in more.stdout
    figures = json.loads((report_of(folder) / "seeds.json").read_text(encoding="utf-8"))
    assert figures["reference"] == "many"
    assert [len(row["values"]) for row in figures["candidates"]] == [3, 3]
    # Another configuration is another trial; so is another split.
    changed = compared(
        folder,
        "--seeds",
        "2",
        "--resplit",
        "--set",
        "candidates.broken=null",
        "--set",
        "candidates.many=null",
    )
    assert "1 trained, 1 from earlier, 0 failed" in changed.stdout  # the first seed's split is the same


def test_candidates_take_turns() -> None:
    plan = Plan(load_experiment("quickstart"), seeds=3)
    rounds = dict(plan.rounds())
    assert list(rounds) == [42, 43, 44]
    assert [names[0] for names in rounds.values()] == ["static_linear", "minilm_3", "static_linear"]
    assert rounds[44][:3] == ["static_linear", "minilm_3", "cascade"], "a cascade follows its stages"
    assert all(sorted(names) == sorted(plan.experiment.candidates) for names in rounds.values())


@pytest.mark.slow
def test_cascades_are_compared_with_their_stages(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CASCADE, encoding="utf-8")
    stages_only = compared(tmp_path, "--seeds", "2", "--set", "candidates.cascade=null")
    assert "4 trained, 0 from earlier, 0 failed" in stages_only.stdout
    # The files of finished trials are gone, so the stages are trained again for the cascade.
    whole = compared(tmp_path, "--seeds", "2")
    assert "6 trained, 0 from earlier, 0 failed" in whole.stdout
    assert "0 trained, 6 from earlier, 0 failed" in compared(tmp_path, "--seeds", "2").stdout
    assert list((tmp_path / "var").rglob("bundle/classifier.json")) == []


def test_wrong_options_are_named(folder: Path) -> None:
    for arguments, sentence in (
        (["--seeds", "2", "--against", "fwe"], "no candidate 'fwe' in small: did you mean 'few'?"),
        (["--seeds", "1"], "1 is not in the range"),
        (["--against", "few"], "belong to --seeds"),
        (["--seeds", "2", "--all"], "shows no past runs"),
    ):
        refused = compared(folder, *arguments)
        assert refused.exit_code == 2, arguments
        assert sentence in refused.stderr.replace("\n", " ")
