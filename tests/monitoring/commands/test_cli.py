"""The command as a user types it: exit codes, messages, files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from monitoring.cli import main
from monitoring.commands.check import verdict_schema
from monitoring.verdict import Verdict
from stores.predictions.checks import CheckLog
from tests.monitoring.conftest import House, mistyped, normal

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def at_home(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> House:
    """The environment of the command points at the house."""
    monkeypatch.setenv("VAR_DIR", str(house.var))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", house.tracking.tracking_uri)
    monkeypatch.setenv("MONITORING_PERMUTATIONS", "1999")
    return house


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_quiet_traffic_exits_0_and_prints_valid_json(at_home: House) -> None:
    at_home.answer(normal(80)[0])
    status, out, _ = run(["check", "--window", "2h", "--json"])
    assert status == 0
    jsonschema.validate(json.loads(out), json.loads(verdict_schema()))
    assert json.loads(out)["status"] == "ok"


def test_a_breach_exits_1_writes_its_output_and_alerts(at_home: House, tmp_path: Path) -> None:
    at_home.answer(mistyped(normal(80)[0]))
    status, out, _ = run(
        ["check", "--window", "2h", "--output", str(tmp_path / "out"), "--on-breach", "alert"]
    )
    assert status == 1
    assert "unseen words" in out
    assert Verdict.model_validate_json((tmp_path / "out" / "verdict.json").read_text()).status == "breach"
    alert = json.loads((at_home.var / "monitoring" / "alerts.jsonl").read_text())
    assert alert["reasons"]
    assert alert["report"].endswith("report.html")
    families = {
        f.name: f for f in text_string_to_metric_families((tmp_path / "out" / "monitoring.prom").read_text())
    }
    assert families["champion_monitoring_status"].samples[0].value == 1
    signals = {s.labels["signal"]: s.value for s in families["champion_monitoring_signal_status"].samples}
    assert signals["unseen_words"] == 1
    verdict = Verdict.model_validate_json((tmp_path / "out" / "verdict.json").read_text())
    assert signals.keys() == {signal.name for signal in verdict.drift.signals}


def test_the_output_fits_80_columns_and_begins_with_the_verdict(
    at_home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    at_home.answer(mistyped(normal(80)[0]))
    _, out, _ = run(["check", "--window", "2h", "--verbose"])
    lines = [line for line in out.splitlines() if not line.startswith("report: ")]
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("breach  ")
    assert (
        lines.index("What to do")
        < lines.index("Why")
        < next(i for i, x in enumerate(lines) if "threshold" in x)
    )
    assert "- Languages: texts in " in out, "what is not in breach is said with --verbose"


def test_a_breach_without_alert_leaves_none(at_home: House) -> None:
    at_home.answer(mistyped(normal(80)[0]))
    assert run(["check", "--window", "2h"])[0] == 1
    assert not (at_home.var / "monitoring" / "alerts.jsonl").exists()


def test_too_little_data_exits_0_and_says_so(at_home: House) -> None:
    status, out, _ = run(["check"])
    assert status == 0
    assert "Too little data" in out


def test_a_breach_names_the_missing_conditions_of_retraining(
    at_home: House,
) -> None:
    texts, labels = normal(80)
    at_home.answer(mistyped(texts), labels=labels[:70])
    status, _, err = run(["check", "--window", "2h", "--on-breach", "retrain"])
    assert status == 1
    assert "Not retrained: 1 of the last 3 windows" in err
    assert "Also: 70 different texts since" in err
    assert "RETRAIN_MIN_LABELS" in err
    assert "RETRAIN_COOLDOWN" not in err, "what is met is no reason"
    assert [check.retrained_at for check in CheckLog(at_home.store).last(9, "news")] == [None]


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ({}, "models:/news/1 carries no experiment"),  # the bundle was not made by a run
        ({"MONITORING_EXPERIMENT": "no-such-experiment"}, "no experiment 'no-such-experiment'"),
        ({"MONITORING_EXPERIMENT": "quickstart", "RETRAIN_SET": "data.source=gone.csv"}, "gone.csv"),
    ],
)
def test_a_retraining_that_cannot_begin_spends_no_cool_down(
    at_home: House, monkeypatch: pytest.MonkeyPatch, experiment: dict[str, str], said: str
) -> None:
    texts, labels = normal(80)
    at_home.answer(mistyped(texts), labels=labels)
    for name, value in {**experiment, "RETRAIN_BREACHES": "1", "RETRAIN_MIN_LABELS": "80"}.items():
        monkeypatch.setenv(name, value)
    status, _, err = run(["check", "--window", "2h", "--on-breach", "retrain"])
    assert status == 1
    assert "Not retrained: " in err
    assert said in err
    assert "Retraining, because" not in err
    assert CheckLog(at_home.store).retrainings("news") == []


def test_a_failure_of_the_training_command_is_recorded(at_home: House, tmp_path: Path) -> None:
    # Its data pass their checks, so it begins; no word is in that many texts, so the only candidate fails.
    (tmp_path / "failing.yaml").write_text(
        "candidates: {logreg: {kind: tfidf_logreg, min_df: 100000}}\n"
        "data: {limit: 120, checks: {language_texts: 0}}\n",
        encoding="utf-8",
    )
    texts, labels = normal(80)
    at_home.answer(mistyped(texts), labels=labels)
    done = subprocess.run(
        [sys.executable, "-m", "monitoring", "check", "--window", "2h", "--on-breach", "retrain", "--json"],
        cwd=ROOT,
        env={
            **os.environ,
            "MONITORING_EXPERIMENT": str(tmp_path / "failing.yaml"),
            "RETRAIN_BREACHES": "1",
            "RETRAIN_MIN_LABELS": "80",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "breach", "the training must not write into the verdict"
    assert "Retraining, because the service follows the alias champion; 1 of the last 3" in done.stderr
    assert "The training ended with status" in done.stderr
    assert "failing.yaml" in done.stderr
    assert (at_home.var / "monitoring" / "alerts.jsonl").exists()
    (last,) = CheckLog(at_home.store).retrainings("news")
    assert last.retrain_status
    err = run(["check", "--window", "2h", "--on-breach", "retrain"])[2]
    assert "ended with status" in err
    assert "RETRAIN_COOLDOWN is 24h" in err, "a training that failed is not tried again at once"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--window", "yesterday"], "'yesterday' is not a duration"),
        (["check", "--since", "noon"], "'noon' is not a time"),
        (["check", "--since", "2026-01-02", "--until", "2026-01-01"], "it must begin first"),
        (["watch", "--every", "0m"], "'0m' is not a duration"),
    ],
)
def test_unreadable_times_exit_2_with_a_message(at_home: House, arguments: list[str], said: str) -> None:
    status, _, err = run(arguments)
    assert status == 2
    assert said in err
    assert "Traceback" not in err


def test_no_champion_exits_2(at_home: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    status, _, err = run(["check"])
    assert status == 2
    assert "python -m training run" in err


def test_a_setting_out_of_range_exits_2_and_is_named(at_home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORING_ALPHA", "2")
    status, _, err = run(["check"])
    assert status == 2
    assert "MONITORING_ALPHA is '2'" in err


def test_a_store_that_cannot_be_read_exits_2(
    at_home: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to be taken for one" * 20)
    monkeypatch.setenv("PREDICTIONS_URL", f"sqlite:///{tmp_path / 'text.db'}")
    status, _, err = run(["check"])
    assert status == 2
    assert "prediction store" in err


def test_the_published_schema_is_the_verdicts(at_home: House) -> None:
    assert (ROOT / "monitoring" / "verdict.schema.json").read_text(encoding="utf-8") == run(["schema"])[1], (
        "run `python -m monitoring schema > monitoring/verdict.schema.json`"
    )


@pytest.mark.parametrize("command", ["label", "prune", "erase"])
def test_label_and_prune_import_nothing_of_the_check(command: str) -> None:
    ask = (
        "import sys; from monitoring.cli import main; main([sys.argv[1], '--help'], standalone_mode=False); "
        "print({'mlflow', 'evidently', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask, command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "Usage:" in done.stdout
    assert done.stdout.endswith("set()\n")


@pytest.mark.usefixtures("at_home")
def test_a_verdict_without_pictures_imports_nothing_that_draws() -> None:
    ask = (
        "import sys; from monitoring.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "print({'evidently', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask, "check", "--window", "1h"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.endswith("set()\n"), done.stdout


def test_every_command_is_listed_with_what_it_does() -> None:
    exit_code, said, _ = run(["--help"])
    assert exit_code == 0
    listed = [line.split()[0] for line in said.split("Commands:")[1].splitlines() if line[2:3].strip()]
    assert listed == ["accept", "check", "erase", "history", "label", "prune", "queue", "schema", "watch"]


def test_watch_checks_again_and_again_and_ends_at_sigterm(at_home: House) -> None:
    at_home.answer(normal(60)[0])
    process = subprocess.Popen(
        [sys.executable, "-m", "monitoring", "watch", "--every", "1s", "--window", "2h"],
        cwd=ROOT,
        env=os.environ.copy(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        events: list[dict[str, object]] = []
        while len(events) < 2:
            line = process.stderr.readline()
            assert line, f"the watch ended with {process.wait()} after {events}"
            events.append(json.loads(line))
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert {event["event"] for event in events} == {"checked"}
    assert {event["status"] for event in events} == {"ok"}
    # Two checks of one second have names that differ after the Z.
    assert len([p for p in (at_home.var / "monitoring").iterdir() if re.match(r"\d{8}T\d{6}Z", p.name)]) >= 2
