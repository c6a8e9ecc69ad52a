"""The demo, in small: what `make demo` does, what it says, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.journeys.conftest import ROOT, SMALL, command
from tests.support.registries import with_tables

pytestmark = [pytest.mark.slow, pytest.mark.journey, pytest.mark.timeout(600)]


def test_the_demo_goes_round_the_circle(tmp_path: Path) -> None:
    environment = {"VAR_DIR": str(with_tables(tmp_path / "var"))}
    before = {path.name for path in ROOT.iterdir()}

    done = command(["demo", "--experiment", str(SMALL)], environment)

    said = " ".join((done.stdout + done.stderr).split())
    assert "news version 1" in said
    assert messages.DEMO_RETRAINING in said
    assert messages.DEMO_SWAPPED in said
    assert messages.DEMO_ROLLED_BACK in said
    (run,) = (tmp_path / "var" / "demo").iterdir()
    verdicts = {}
    for traffic in ("normal-traffic", "drifted-traffic", "drifted-traffic-later"):
        assert (run / traffic / "report.html").stat().st_size > 5_000
        verdicts[traffic] = json.loads((run / traffic / "verdict.json").read_text(encoding="utf-8"))
    assert [verdict["status"] for verdict in verdicts.values()] == ["ok", "breach", "ok"]
    assert [verdict["model"]["version"] for verdict in verdicts.values()] == ["1", "1", "2"]
    with create_engine(f"sqlite:///{run / 'predictions.db'}").connect() as connection:
        predictions = connection.execute(text("select count(*) from predictions")).scalar_one()
        labels = connection.execute(text("select count(*) from feedback")).scalar_one()
    assert predictions > 250
    assert labels > 80
    # What it leaves behind is where it began: the same champion, so another demo goes the same way.
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path / "var"))
    assert registry.aliases() == {"champion": "1", "previous": "2"}
    tags = registry.by_version("1").tags
    figures = [f"{float(tags['test_macro_f1']):.3f}", f"{float(tags['texts_per_second']):,.0f}"]
    figures += [f"{float(tags['test_share_early']):.0%}"] if tags["candidate"] == "cascade" else []
    assert all(figure in said for figure in figures)
    assert {path.name for path in ROOT.iterdir()} - before <= {"__pycache__"}, "state outside VAR_DIR"
