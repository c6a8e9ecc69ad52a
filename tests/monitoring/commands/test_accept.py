"""`accept` as a person uses it: accept the window of the last check, list, revoke."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from monitoring.champion import find_champion
from monitoring.cli import main
from stores.predictions.accepted import AcceptedWindows
from stores.settings import SigningSettings
from tests.monitoring.conftest import NOW, WINDOW, House, normal


@pytest.fixture
def at_home(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The environment of the command points at the house."""
    monkeypatch.setenv("VAR_DIR", str(house.var))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", house.tracking.tracking_uri)
    return house


def accept(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["accept", *arguments])


def test_the_last_window_is_accepted_listed_and_revoked(at_home: House) -> None:
    assert accept("--list").output == "no window is accepted\n"
    refused = accept()
    assert refused.exit_code == 2
    assert "was never checked" in refused.output
    at_home.answer(normal(60)[0])
    at_home.check(pages="none")
    done = accept("--by", "ana")
    assert done.exit_code == 0, done.output
    assert "its 60 texts are part of the reference" in done.output
    (window,) = AcceptedWindows(at_home.store).in_force(at_home.champion.name, at_home.champion.version)
    assert (window.since, window.until, window.accepted_by, window.texts) == (*WINDOW, "ana", 60)
    assert f"{window.id}: news version 1" in accept("--list").output
    revoked = accept("--revoke", str(window.id), "--by", "ben")
    assert revoked.exit_code == 0, revoked.output
    assert "revoked by ben" in accept("--list").output
    again = accept("--revoke", str(window.id))
    assert again.exit_code == 2
    assert "no accepted window" in again.output


def test_a_window_may_be_named_and_kept_for_its_time_of_week(at_home: House) -> None:
    at_home.answer(normal(60)[0], at=NOW - 86400)
    named = ("--since", str(NOW - 86400 - 60), "--until", str(NOW - 86400 + 60))
    assert accept(*named, "--weekly", "--by", "ana").exit_code == 0
    assert "60 texts, weekly, accepted by ana" in accept("--list").output
    at_home.check(pages="none")
    few = accept("--window", "1h", "--by", "ana")
    assert few.exit_code == 2
    assert "has 0 different stored texts" in few.output


@pytest.mark.parametrize(
    "arguments", [["--list", "--revoke", "1"], ["--list", "--weekly"], ["--revoke", "1", "--window", "1h"]]
)
def test_what_excludes_one_another_is_refused(at_home: House, arguments: list[str]) -> None:
    result = accept(*arguments)
    assert result.exit_code == 2
    assert "exclude one another" in result.output


@pytest.mark.slow
def test_champion_monitor_accepts_and_the_next_check_says_so(at_home: House) -> None:
    texts = normal(160)[0]
    at_home.answer(texts[:80], at=NOW - 5000)
    at_home.answer(texts[80:], at=NOW - 60)

    def champion(*arguments: str) -> str:
        command = [sys.executable, "-m", "console", "monitor", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    champion("accept", "--since", str(NOW - 5100), "--until", str(NOW - 4900), "--by", "ana")
    known = set(find_champion(at_home.registry, at_home.tracking, SigningSettings()).reference["text"])
    words = f"holds {len(set(texts[:80]) - known)} accepted live texts"
    told = champion("check", "--since", str(NOW - 3600), "--until", str(NOW), "--report", "breach")
    assert words in " ".join(told.split())
    page = (at_home.var / "monitoring" / "latest" / "report.html").read_text(encoding="utf-8")
    assert words in page
