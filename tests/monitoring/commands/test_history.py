"""The history command: what the checks found, as table, JSON and picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from matplotlib.image import imread

from monitoring.cli import main
from monitoring.report.history_plot import limits_of
from stores.predictions import PredictionStore
from stores.predictions.checks import INTERRUPTED, Check, CheckLog
from stores.settings import PredictionSettings

DAY = 86400.0


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CheckLog]:
    """An empty log in the store that the command opens."""
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    store = PredictionStore.open(PredictionSettings().url)
    yield CheckLog(store)
    store.close()


def add(log: CheckLog, day: int, *, status: str = "ok", size: float = 0.1, **changes: object) -> int:
    signals = {
        "unseen_words": {"value": size, "threshold": 0.2, "status": status},
        "text_content": {"value": 0.5 + size, "threshold": 0.6, "status": status},
        "signal_of_an_older_release": {"value": None, "threshold": None, "status": "not_measured"},
    }
    values = {
        "checked_at": day * DAY, "since": (day - 1) * DAY, "until": day * DAY, "model_name": "news",
        "model_version": "1", "status": status, "summary": "", "report": "", "signals": signals,
        "accuracy": None, "labelled": 0,
    }  # fmt: skip
    return log.add(Check(**(values | changes)))  # type: ignore[arg-type]


def history(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["history", "--since", "1970-01-01", *arguments], env={"COLUMNS": "120"})


def test_the_table_has_windows_verdicts_and_retrainings(log: CheckLog) -> None:
    add(log, 10, accuracy=0.912, labelled=40)
    failed = add(log, 11, status="breach", size=0.5)
    add(log, 12, model_version="2")
    add(log, 13, model_name="another")
    assert log.begin_retraining(failed, "news", cooldown=1, now=11 * DAY)
    log.end_retraining(failed, 1)
    out = history().output
    lines = [line for line in out.splitlines() if "1970-01-1" in line]
    assert len(lines) == 3
    assert "1970-01-11 00:00" in lines[0]
    assert "91.2% (40)" in lines[0]
    assert "text content 5.0× +1" in lines[1], "two signals moved, this one most"
    assert "failed" in lines[1]
    assert lines[2].split()[3] == "2"


def test_json_since_and_limit_choose(log: CheckLog) -> None:
    for day in (10, 11, 12, 13):
        add(log, day)

    def days(*arguments: str) -> list[float]:
        return [check["until"] / DAY for check in json.loads(history("--json", *arguments).stdout)]

    assert days() == [10, 11, 12, 13]
    assert days("--limit", "2") == [12, 13]
    assert days("--since", "1970-01-12T12:00") == [12, 13]
    assert days("--since", "30d") == [], "1970 is longer ago"
    assert "no check of news" in history("--since", "30d").output


def test_the_picture_has_a_panel_for_every_signal(log: CheckLog, tmp_path: Path) -> None:
    for day in range(10, 20):
        add(log, day, status="breach" if day > 15 else "ok", size=0.5 if day > 15 else 0.1)
    result = history("--picture", str(tmp_path / "small.png"))
    assert result.exit_code == 0, result.output
    small = imread(tmp_path / "small.png")
    add(log, 20, accuracy=0.9, labelled=50)
    history("--picture", str(tmp_path / "more.png"))
    more = imread(tmp_path / "more.png")
    assert small.shape[0] > 400
    assert more.shape[0] > small.shape[0], "accuracy has a panel of its own once it is known"
    orange = (abs(small[..., :3] - [0xC2 / 255, 0x41 / 255, 0x0C / 255]).max(axis=-1) < 0.02).sum()
    assert orange > 100, "breaches are marked"


def test_a_single_check_is_drawn_with_its_own_day() -> None:
    one = Check(0, 9 * DAY, 10 * DAY, "news", "1", "ok", "", "", {}, None, 0)
    first, last = limits_of([one])
    assert first < 10 < last
    assert last - first <= 2
    first, last = limits_of([one, replace(one, since=29 * DAY, until=30 * DAY)])
    assert first < 10 < 30 < last < 33


def test_the_table_fits_80_columns(log: CheckLog) -> None:
    key = add(log, 10, status="breach", size=12.0, accuracy=0.912, labelled=4000, model_version="123")
    assert log.begin_retraining(key, "news", cooldown=1, now=11 * DAY)
    log.end_retraining(key, INTERRUPTED)
    out = CliRunner().invoke(main, ["history", "--since", "1970-01-01"], env={"COLUMNS": "80"}).output
    assert max(map(len, out.splitlines())) <= 80
    assert "91.2% (4000)" in out
    assert "stopped" in out


def test_what_cannot_be_read_or_drawn_is_said(log: CheckLog, tmp_path: Path) -> None:
    add(log, 10)
    result = history("--picture", str(tmp_path / "history.docx"))
    assert result.exit_code == 2
    assert "history.docx cannot be drawn" in result.stderr
    result = history("--since", "yesterday")
    assert result.exit_code == 2
    assert "'yesterday' is neither a duration nor a time" in result.stderr
