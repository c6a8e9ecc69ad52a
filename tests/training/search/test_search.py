"""The four phases in one run, and a search that is stopped and goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.training.conftest import environment
from tests.training.search.conftest import Ran
from training.config.tfidf import PerceptronConfig
from training.errors import SearchUnavailable
from training.reporting.past_runs import comparison_tables
from training.search import trials as trials_module
from training.search.trials import FAILURE, best_trials, done
from training.settings import TrainingSettings

pytestmark = pytest.mark.slow
Searching = Callable[..., optuna.Study]


def _runs(ran: Ran) -> list[Run]:
    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=ran.var).tracking_uri)
    parent = client.get_run(ran.outcome.run_id)
    return list(
        client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{ran.outcome.run_id}'")
    )


def _told(ran: Ran) -> list[dict[str, object]]:
    told = json.loads((ran.outcome.report / "search" / "trials.json").read_text())["trials"]
    assert isinstance(told, list)
    return told


def test_each_configuration_is_a_run_with_its_phase(ran: Ran) -> None:
    phases = Counter(run.data.tags["phase"] for run in _runs(ran))
    assert phases == {"baseline": 1, "optimised": 1, "search": 8, "evaluation": 1}
    for run in _runs(ran):
        assert run.info.status == "FINISHED"
        assert "learning_rate" in run.data.params or run.data.tags["phase"] == "baseline"


def test_pruned_trials_are_stopped_and_said_to_be(ran: Ran) -> None:
    pruned = [trial for trial in _told(ran) if trial["outcome"] == "pruned"]
    complete = [trial for trial in _told(ran) if trial["outcome"] == "complete"]
    assert pruned
    assert complete
    for trial in pruned:
        assert len(trial["epochs"]) < trial["settings"]["epochs"], "it went no further"  # type: ignore[arg-type, index]
    outcomes = Counter(
        run.data.tags["outcome"].partition(":")[0] for run in _runs(ran) if run.data.tags["phase"] == "search"
    )
    assert outcomes == {"pruned": len(pruned), "complete": len(complete)}
    assert f"{len(complete)} complete, {len(pruned)} pruned" in ran.printed


def test_what_was_found_is_trained_again_and_judged(ran: Ran) -> None:
    best = max(
        (trial for trial in _told(ran) if trial["outcome"] == "complete"), key=lambda trial: trial["macro_f1"]
    )  # type: ignore[arg-type, return-value]
    found = {item.name: item for item in ran.outcome.evaluated}[f"found_{best['trial']}"]
    # Trained again from the same seed, it is the same.
    assert found.validation.macro_f1.value == pytest.approx(best["macro_f1"])
    by_f1 = max(ran.outcome.evaluated, key=lambda item: (item.validation.macro_f1.value, -item.milliseconds))
    assert ran.outcome.winner == by_f1.name
    assert ran.outcome.version is not None
    assert ran.outcome.decision is not None
    assert ran.outcome.decision.promoted


def test_pictures_and_tables_show_the_search_and_the_balance(ran: Ran) -> None:
    report = ran.outcome.report
    for name in (
        "search/optimisation_history.png", "search/parameter_importances.png", "precision_recall.png", "comparison.png",
    ):  # fmt: skip
        assert (report / name).read_bytes().startswith(b"\x89PNG")
    importances = json.loads((report / "search" / "trials.json").read_text())["importances"]
    assert set(importances) == {"learning_rate", "hidden", "epochs"}
    assert sum(importances.values()) == pytest.approx(1, abs=0.01)
    assert messages.SEARCH_CURVES in ran.printed
    with environment(ran.var):
        (table,) = comparison_tables(None, every=False)
    assert table.row_count == 3, "trials are no candidates"


def test_a_stopped_search_goes_on_as_if_it_had_not_stopped(ran: Ran, searching: Searching) -> None:
    unbroken = [(trial["settings"], trial["outcome"], trial["epochs"]) for trial in _told(ran)]
    assert done(searching(3)) == 3
    study = searching(8)
    from training.search.report import _as_dict

    resumed = [_as_dict(trial) for trial in study.trials]
    assert [(trial["settings"], trial["outcome"], trial["epochs"]) for trial in resumed] == unbroken
    assert len(searching(8).trials) == 8, "a complete search is not repeated"
    again = searching(1, "search.round=2")
    assert (len(again.trials), again.study_name != study.study_name) == (1, True)


def test_an_interrupted_trial_is_tried_again(searching: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    searching(1)
    with monkeypatch.context() as patched:
        patched.setattr(trials_module, "validated", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            searching(3)
    trials = searching(3).trials
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE,
    ]  # fmt: skip
    assert trials[2].params == trials[1].params


def test_a_process_that_lost_its_trial_starts_the_next(
    searching: Searching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = searching(1)
    train = trials_module.validated

    def given_up(*arguments: Any) -> dict[str, float]:
        """Train while another process, which saw no sign of life, fails the trial."""
        monkeypatch.setattr(trials_module, "validated", train)
        storage = RDBStorage(f"sqlite:///{tmp_path / 'var' / 'search.db'}")
        other = optuna.load_study(study_name=study.study_name, storage=storage)
        other.tell(1, state=TrialState.FAIL)
        storage.engine.dispose()
        return train(*arguments)

    monkeypatch.setattr(trials_module, "validated", given_up)
    trials = searching(3).trials
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE,
    ]  # fmt: skip


def test_a_failed_configuration_is_counted_and_stops_nothing(searching: Searching) -> None:
    # A first layer of so many units does not fit into any memory.
    space = "{hidden: {choices: [[1000000000000], [4]]}}"
    study = searching(6, f"search.space={space}", "search.startup_trials=6")
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.FAIL] + states[TrialState.COMPLETE] == 6
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed
    assert all("MemoryError" in trial.user_attrs[FAILURE] for trial in failed)
    assert len(best_trials(study, 5)) == 1, "no configuration twice"


def test_a_database_that_is_away_is_said_in_a_sentence(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCH_URL", "postgresql://someone:secret@127.0.0.1:9/search")
    with pytest.raises(SearchUnavailable, match="SEARCH_URL") as raised:
        searching(1)
    assert "secret" not in str(raised.value)


def test_an_unencoded_password_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_URL", "postgresql://someone:p@ss/hunter2@db/search")
    with pytest.raises(SearchUnavailable, match="SEARCH_PASSWORD") as raised:
        _ = TrainingSettings().search_address
    assert "hunter2" not in str(raised.value)


def test_the_template_stays_what_the_file_says(ran: Ran) -> None:
    (name,) = [item.name for item in ran.outcome.evaluated if item.name.startswith("found_")]
    template = ran.experiment.candidates["mlp"]
    assert isinstance(template, PerceptronConfig)
    assert name not in ran.experiment.candidates
    written = (ran.outcome.report / "experiment.yaml").read_text()
    assert f"{name}:" in written
    assert Path(ran.outcome.report / name / "loss.png").is_file()
