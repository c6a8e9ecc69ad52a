"""The experiment that travels with a version, and what a run of it again begins from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from classifier.manifest import write_manifest
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import registered, sealed_tfidf_bundle
from tests.support.registries import with_tables
from training.data import DataConfig
from training.data.loading import source_identity
from training.errors import ExperimentInvalid
from training.experiment.loader import load_experiment
from training.experiment.rerun import rerun_yaml, resolved_yaml
from training.experiment.schema import Experiment


def read(text: str, folder: Path) -> Experiment:
    path = folder / "again.yaml"
    path.write_text(text, encoding="utf-8")
    return load_experiment(str(path))


def test_the_resolved_experiment_gives_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tickets.csv").write_text("text,label\n", encoding="utf-8")
    (tmp_path / "predictions").write_text("a file that happens to have this name", encoding="utf-8")
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    made = load_experiment(
        "quickstart",
        [
            "data.source=tickets.csv",
            "candidates.minilm_3.weights=weights",
            "candidates.minilm_3.epochs=3",
            "data.live={}",
        ],
    )
    monkeypatch.chdir("/")
    text = resolved_yaml(made, "tickets")
    assert yaml.safe_load(text)["data"]["source"] == "/tickets.csv", "resolved where it is written"
    monkeypatch.chdir(tmp_path)
    again = read(resolved_yaml(made, "tickets"), tmp_path)
    assert again.data.source == str(tmp_path / "tickets.csv")
    assert again.data.live is not None
    assert again.data.live.source == "predictions"
    assert again.registered_name("news") == "tickets"
    minilm = again.candidates["minilm_3"].model_dump()
    assert (minilm["weights"], minilm["epochs"]) == (str(tmp_path / "weights"), 3)
    assert again.candidates["cascade"] == made.candidates["cascade"]


def test_what_is_set_once_is_not_carried_on(tmp_path: Path) -> None:
    made = load_experiment(
        "quickstart", ["seed=7"], once=["data.live={}", "candidates.cascade=null", "data.live.per_class=40"]
    )
    assert made.data.live is not None
    assert "cascade" not in made.candidates
    assert read(resolved_yaml(made, "news"), tmp_path).data.live is not None
    again = read(rerun_yaml(made, "news"), tmp_path)
    assert again.data.live is None
    assert again.seed == 7
    assert "cascade" in again.candidates
    plain = load_experiment("quickstart", ["seed=7"])
    assert rerun_yaml(plain, "news") == resolved_yaml(plain, "news")


def test_a_rerun_takes_the_result_of_the_search(tmp_path: Path) -> None:
    made = load_experiment("systematic_finetuning")
    assert made.search is not None
    found = made.candidates[made.search.candidate]
    again = read(rerun_yaml(made.with_candidates({"found_1": found}), "news"), tmp_path)
    assert again.search is None
    assert again.candidates["found_1"] == found


def test_a_smoke_run_again_has_the_same_name_once(tmp_path: Path) -> None:
    smoke = load_experiment("quickstart", smoke=True)
    name = smoke.registered_name("news")
    assert name == "news-smoke"
    again = read(resolved_yaml(smoke, name), tmp_path)
    assert again.is_smoke
    assert again.registered_name("other") == name


@pytest.mark.parametrize(
    ("config", "identity"),
    [
        ({}, "bbc_news"),
        ({"source": "ag_news"}, "ag_news"),
        ({"source": "glue", "hub_config": "sst2"}, "glue:sst2"),
        ({"source": "/data/tickets.csv", "text_column": "body", "limit": 100}, "/data/tickets.csv"),
    ],
)
def test_the_identity_of_a_source_is_its_place(config: dict[str, object], identity: str) -> None:
    assert source_identity(DataConfig.model_validate(config)) == identity


def test_the_experiment_of_a_version_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAR_DIR", str(with_tables(tmp_path / "var")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    registry = ModelRegistry(TrackingSettings(model_name="tickets"))
    bundle = tmp_path / "bundle"
    sealed_tfidf_bundle(bundle)
    registered(registry, bundle)
    with pytest.raises(ExperimentInvalid, match=messages.EXPERIMENT_NOT_IN_BUNDLE):
        load_experiment("models:/tickets/1")
    (bundle / "report").mkdir()
    made = load_experiment("quickstart", ["seed=11"])
    (bundle / "report" / "experiment.yaml").write_text(resolved_yaml(made, "tickets"), encoding="utf-8")
    write_manifest(bundle, data={})
    registered(registry, bundle)
    assert load_experiment("models:/tickets@champion", ["candidates.cascade=null"]).seed == 11
    copy = registry.fetch(registry.by_version("2")) / "report" / "experiment.yaml"
    copy.write_text(copy.read_text(encoding="utf-8").replace("seed: 11", "seed: 12"), encoding="utf-8")
    with pytest.raises(ExperimentInvalid, match=messages.EXPERIMENT_CHANGED):
        load_experiment("models:/tickets/2")
    with pytest.raises(ExperimentInvalid, match=messages.MODEL_REFERENCE_INCOMPLETE):
        load_experiment("models:/tickets")
