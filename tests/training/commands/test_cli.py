"""The commands, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stores.promotion import label_tags
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import TOPICS, registered, sealed_tfidf_bundle
from tests.support.registries import with_tables
from training.commands.cli import main


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    for name in ("MLFLOW_TRACKING_URI", "MODEL_NAME", "MODEL_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    return with_tables(tmp_path / "var")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "160"}, catch_exceptions=False)


def test_list_shows_experiments_with_their_candidates() -> None:
    shown = invoke("list")
    assert shown.exit_code == 0
    assert "quickstart" in shown.stdout
    assert "minilm_3" in shown.stdout


def test_data_writes_texts_that_no_other_part_has(tmp_path: Path, var: Path) -> None:
    parts: dict[str, set[str]] = {}
    for part in ("holdout", "test"):
        out = tmp_path / f"{part}.jsonl"
        arguments = ["data", "quickstart", "--set", "data.limit=120", "--part", part, "--out", str(out)]
        assert invoke(*arguments).exit_code == 0
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert {"text", "label"} == set(rows[0])
        parts[part] = {row["text"] for row in rows}
    assert len(parts["holdout"]) == 17
    assert not parts["holdout"] & parts["test"]


def test_data_check_shows_findings_and_grave_ones_are_status_2(var: Path) -> None:
    arguments = ["data-check", "quickstart", "--set", "data.limit=120"]
    passed = invoke(*arguments)
    assert passed.exit_code == 0
    assert messages.DATA_NO_COPIES in passed.stdout
    assert messages.DATA_TEXTS_CUT in passed.stdout
    (page,) = (var / "reports").glob("quickstart-data-*/data.html")
    assert messages.DATA_CHECKS_WARNED in page.read_text(encoding="utf-8")
    grave = invoke(*arguments, "--set", "data.checks.imbalance={warn: 1, stop: 1.1}")
    assert grave.exit_code == 2
    assert messages.DATA_CHECKS_REFUSED in grave.stderr
    assert "data.checks" in grave.stderr


def test_wrong_input_is_one_sentence_and_status_2(var: Path) -> None:
    for arguments, sentence in (
        (["run", "quikstart"], "did you mean 'quickstart'?"),
        (["run", "--set", "data.source=nowhere.csv"], "nowhere.csv"),
        (["compare"], "no run yet"),
        (["promote", "7"], "has no version 7"),
        (["rollback"], "has no 'previous'"),
    ):
        failed = invoke(*arguments)
        assert failed.exit_code == 2, arguments
        assert sentence in failed.stderr
        assert "Traceback" not in failed.stderr


def test_promote_and_rollback_move_the_alias(tmp_path: Path, var: Path) -> None:
    registry = ModelRegistry(TrackingSettings(var_dir=var))
    for name, strength in (("one", 1.0), ("two", 10.0)):
        sealed_tfidf_bundle(tmp_path / name, strength=strength)
        registered(registry, tmp_path / name, promote=name == "one")
    assert messages.CHAMPION_NOW in invoke("promote", "2").stdout
    assert messages.CHAMPION_ALREADY in invoke("promote", "2").stdout
    assert registry.aliases() == {"champion": "2", "previous": "1"}
    assert messages.CHAMPION_AGAIN in invoke("rollback").stdout
    assert registry.aliases() == {"champion": "1", "previous": "2"}

    # A version with other labels, and one that the gate refused, are for a person to force.
    uri = registry.by_version("1").model_uri
    registry.register(uri, tags={**label_tags(["ham", "spam [!]"]), "gate": "passed"})
    registry.register(uri, tags={**label_tags(TOPICS), "gate": "failed", "gate_reasons": "No better."})
    for version, said in (("3", "adds ham and spam [!]; lacks business"), ("4", "No better")):
        refused = invoke("promote", version)
        assert refused.exit_code == 2
        assert said in refused.stderr
        assert "--force" in refused.stderr
        assert registry.aliases() == {"champion": "1", "previous": "2"}
    accepted = registry.accepted_labels()
    assert invoke("promote", "3", "--force").exit_code == 0
    assert registry.aliases() == {"champion": "3", "previous": "1"}
    assert registry.accepted_labels() != accepted
    back = invoke("rollback")
    assert back.exit_code == 0
    assert messages.CHAMPION_OTHER_LABELS in back.stdout
    assert registry.accepted_labels() == accepted


@pytest.mark.slow
def test_a_run_without_a_trainable_winner_trains_nothing(var: Path) -> None:
    failed = invoke(
        "run", "quickstart", "--set", "data.limit=120", "--set", "candidates.cascade=null",
        "--set", "candidates.static_linear=null",
        "--set", "candidates.minilm_3.weights=no/such/folder/at/all", "--set", "candidates.tfidf_catboost=null",
    )  # fmt: skip
    assert failed.exit_code == 2
    assert messages.CANDIDATES_NONE_TRAINABLE in failed.stderr
    assert messages.CANDIDATE_LEFT_OUT in failed.stdout
    assert messages.CANDIDATES_COMPARED not in failed.stdout, "known before the other candidates are trained"
    assert not list((var / "training").glob("*/tfidf_logreg*"))
    assert ModelRegistry(TrackingSettings(var_dir=var)).versions() == []


@pytest.mark.slow
def test_a_baseline_may_win_and_is_the_next_runs_champion(var: Path) -> None:
    arguments = [
        "run", "quickstart", "--set", "data.limit=120", "--set", "candidates.cascade=null",
        "--set", "candidates.static_linear=null",
        "--set", "candidates.minilm_3=null", "--set", "candidates.tfidf_catboost.iterations=10",
        "--set", "baselines_may_win=true", "--set", "model_name=classical",
    ]  # fmt: skip
    assert invoke(*arguments).exit_code == 0
    again = invoke(*arguments)
    assert again.exit_code == 0
    assert "challenger" in again.stdout
    registry = ModelRegistry(TrackingSettings(var_dir=var, model_name="classical"))
    assert registry.aliases() == {"champion": "1", "challenger": "2"}
