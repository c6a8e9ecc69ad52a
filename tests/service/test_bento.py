"""`bentoml build` packs what serving needs, and the bento serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import ROOT, serving

pytestmark = pytest.mark.slow


def test_the_bento_holds_serving_only_and_serves(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    built = subprocess.run(
        [bentoml, "build", "--output", "tag"], cwd=ROOT, env={**os.environ}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    (folder,) = [path for path in (tmp_path / "bentoml" / "bentos" / "champion").iterdir() if path.is_dir()]
    packed = {
        path.relative_to(folder / "src").as_posix() for path in (folder / "src").rglob("*") if path.is_file()
    }
    assert {path.partition("/")[0] for path in packed if path.endswith(".py")} == {
        "classifier",
        "stores",
        "service",
    }
    assert {"service/ui/index.html", "stores/predictions/migrations/script.py.mako"} <= packed
    requirements = (folder / "env" / "python" / "requirements.txt").read_text(encoding="utf-8")
    assert "bentoml==" in requirements
    assert "--hash=sha256:" in requirements
    assert "\ntorch==" not in requirements

    settings = {"MODEL_URI": str(bundle), "BENTOML_HOME": str(tmp_path / "bentoml")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with serving(tmp_path / "var", settings, bento="champion:latest", cwd=elsewhere) as server:
        with server.client() as client:
            answer = client.post("/classify", json={"text": "The striker scored twice."}).json()
            assert answer["predictions"][0]["label"] == "sports"
            assert client.get("/ui").status_code == 200
        assert (tmp_path / "var" / "predictions.db").is_file()
    assert not any(elsewhere.iterdir()), "state goes under VAR_DIR only"
