"""The demo, in small: what `make demo` does, twice in the same place."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from stores.models import ModelRegistry
from stores.settings import TrackingSettings
from tests.journeys.conftest import ROOT, SMALL, command

pytestmark = [pytest.mark.slow, pytest.mark.journey, pytest.mark.timeout(600)]


def test_the_demo_goes_round_the_circle_and_again(tmp_path: Path) -> None:
    environment = {"VAR_DIR": str(tmp_path / "var")}
    before = {path.name for path in ROOT.iterdir()}

    first = command(["demo", "--experiment", str(SMALL)], environment)
    second = command(["demo", "--experiment", str(SMALL)], environment)

    for done, version in ((first, "1"), (second, "1")):
        assert "quiet" in done.stdout
        assert "alarm" in done.stdout
        # The second training gives the same model: no better, so the first stays champion.
        assert f"news version {version}" in " ".join(done.stdout.split())
    runs = sorted((tmp_path / "var" / "demo").iterdir())
    assert len(runs) == 2
    for run in runs:
        for traffic in ("normal-traffic", "drifted-traffic"):
            assert (run / traffic / "report.html").stat().st_size > 10_000
        with create_engine(f"sqlite:///{run / 'predictions.db'}").connect() as connection:
            predictions = connection.execute(text("select count(*) from predictions")).scalar_one()
            labels = connection.execute(text("select count(*) from feedback")).scalar_one()
        assert predictions > 250
        assert labels > 80
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path / "var"))
    assert registry.aliases() == {"champion": "1", "challenger": "2"}
    assert {path.name for path in ROOT.iterdir()} - before <= {"__pycache__"}, "state outside VAR_DIR"
