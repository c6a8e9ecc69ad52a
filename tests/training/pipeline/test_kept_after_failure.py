"""A step after training fails: what was trained is kept, and the next run judges it without training it again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier.manifest import sha256_of
from stores.errors import StoreError
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.registries import DATABASE, with_tables
from tests.training.pipeline.test_hostile_names import run, small, write_texts
from training.errors import NoCandidateLeft

Break = Callable[[Path], Callable[[], None]]
"""Makes a step fail that comes after training; what it returns mends it."""


def _refusing(table: str, condition: str = "1") -> Break:
    """MLflow's database cannot write to `table`, as on a full disk."""

    def broken(var: Path) -> Callable[[], None]:
        def execute(sql: str) -> None:
            with sqlite3.connect(var / DATABASE) as connection:
                connection.execute(sql)
            connection.close()

        execute(
            f"CREATE TRIGGER broken BEFORE INSERT ON {table} WHEN {condition} "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        return lambda: execute("DROP TRIGGER broken")

    return broken


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_a_step", "raised"),
    [
        pytest.param(_refusing("metrics", "new.key LIKE 'test_f1%'"), NoCandidateLeft, id="metrics"),
        pytest.param(_refusing("model_versions"), StoreError, id="registering"),
        pytest.param(_refusing("registered_model_aliases"), StoreError, id="promoting"),
    ],
)
def test_what_is_trained_outlives_a_later_failure(
    tmp_path: Path, break_a_step: Break, raised: type[Exception]
) -> None:
    var = with_tables(tmp_path / "var")
    path = write_texts(tmp_path / "texts.csv", ["billing", "delivery", "C++"])
    mend = break_a_step(var)
    with pytest.raises(raised):
        run(var, small(path))
    (kept,) = (var / "training").glob("*/logreg-*")
    trained = sha256_of(kept / "bundle" / "pipeline.skops")  # holds times: trained again, it would differ

    mend()
    outcome, printed = run(var, small(path))
    assert messages.EARLIER_RUN_TRAINED_LOGREG in printed
    assert outcome.failed == {}
    assert outcome.version is not None
    registry = ModelRegistry(TrackingSettings(var_dir=var))
    assert sha256_of(registry.fetch(registry.latest()) / "pipeline.skops") == trained
    assert list((var / "training").iterdir()) == []
    history = json.loads((outcome.report / "training" / "logreg" / "run_history.json").read_text())
    evaluated = outcome.evaluated[0]
    assert history["final"]["test"]["macro_f1"]["value"] == evaluated.test.macro_f1.value
    assert history["final"]["temperature"] == evaluated.description.temperature
    assert history["final"]["training"]["training_texts"] == 15


@pytest.mark.slow
def test_an_unevaluated_candidate_is_kept_after_a_success(tmp_path: Path) -> None:
    """The other candidates are evaluated and registered; its turn comes with the next run."""
    var = with_tables(tmp_path / "var")
    path = write_texts(tmp_path / "texts.csv", ["billing", "delivery"])
    candidates = {
        "logreg": {"kind": "tfidf_logreg", "min_df": 1},
        "other": {"kind": "tfidf_logreg", "min_df": 1, "C": 2.0},
        "hopeless": {"kind": "network", "weights": str(tmp_path / "no such folder")},
    }
    runs_of_other = "new.run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'candidate' AND value = 'other')"
    mend = _refusing("metrics", runs_of_other)(var)
    first, printed = run(var, small(path, candidates=candidates))
    assert sorted(first.failed) == ["hopeless", "other"]
    assert messages.KEPT_AFTER_FAILURE in printed
    assert messages.KEPT_OF_NO_CANDIDATE not in printed
    (kept,) = (var / "training").glob("*/*")
    assert kept.name.startswith("other-"), "nothing else is left, and no note of an interrupted run"

    mend()
    candidates["other"]["note"] = "in other words"
    second, printed = run(var, small(path, candidates=candidates))
    assert messages.EARLIER_RUN_TRAINED_OTHER in printed
    assert "logreg: was trained" not in printed
    assert messages.RUN_RESUMED not in printed
    assert second.report != first.report
    other = next(item for item in second.evaluated if item.name == "other")
    assert other.trained.figures["training_seconds"] > 0
    assert list((var / "training").iterdir()) == []


@pytest.mark.slow
def test_what_is_no_longer_the_same_is_trained_anew(tmp_path: Path) -> None:
    """Another configuration, a bundle that was changed, a file of another training: none is adopted."""
    var = with_tables(tmp_path / "var")
    path = write_texts(tmp_path / "texts.csv", ["billing", "delivery"])
    mend = _refusing("model_versions")(var)
    with pytest.raises(StoreError):
        run(var, small(path))
    (kept,) = (var / "training").glob("*/logreg-*")
    (kept / "bundle" / "model.int8.onnx").write_bytes(b"of another training")
    (kept / "bundle" / "pipeline.skops").write_bytes(b"changed")
    changed = {"logreg": {"kind": "tfidf_logreg", "min_df": 1, "C": 3.0}}
    with pytest.raises(StoreError):
        run(var, small(path, candidates=changed))
    assert len(list((var / "training").glob("*/logreg-*"))) == 2

    mend()
    outcome, printed = run(var, small(path))
    assert messages.EARLIER_RUN_TRAINED not in printed
    registry = ModelRegistry(TrackingSettings(var_dir=var))
    files = {item.name for item in registry.fetch(registry.latest()).iterdir()}
    assert "model.int8.onnx" not in files
    assert outcome.failed == {}
