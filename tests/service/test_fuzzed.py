"""Schemathesis reads the description and sends generated requests: the service must keep to its description."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import Server


@pytest.mark.slow
def test_schemathesis_finds_nothing(server: Server, tmp_path: Path):
    command = [str(Path(sys.executable).with_name("schemathesis")), "--no-color"]
    command += ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
    command += ["run", f"{server.address}/openapi.json"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert "8 selected / 8 total" in result.stdout
    tried = re.search(r"(\d+) generated, (\d+) passed", result.stdout)
    assert tried, result.stdout[-2000:]
    assert int(tried[1]) == int(tried[2]) >= 200
