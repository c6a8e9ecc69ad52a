"""`bentoml build` packs what serving needs, and the bento serves, with its state elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import ROOT, free_port, serving

pytestmark = pytest.mark.slow

BENTOML = str(Path(sys.executable).with_name("bentoml"))
PACKED = ("classifier", "stores", "service", "requirements", "README.md", "bentofile.yaml")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BENTOML_HOME with the bento, built from a checkout in which other things lie around."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in PACKED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    for stray in (
        "var/image/graph/etc/README.md",
        "service/http/ui/deep/README.md",
        "other/classifier/stray.py",
        "other/requirements/service.lock",
        "service/keys.json",
    ):
        (checkout / stray).parent.mkdir(parents=True, exist_ok=True)
        (checkout / stray).write_text("stray = 1\n", encoding="utf-8")
    folder = tmp_path_factory.mktemp("bentoml")
    environment = {**os.environ, "BENTOML_HOME": str(folder), "PYTHONPATH": str(checkout)}
    command = [BENTOML, "build", "--output", "tag"]
    built = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def bento(home: Path) -> Path:
    """The bento's folder."""
    (folder,) = [path for path in (home / "bentos" / "champion").iterdir() if path.is_dir()]
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_holds_serving_only(bento):
    packed = files(bento / "src")
    assert {path.partition("/")[0] for path in packed if path.endswith(".py")} == {
        "classifier",
        "stores",
        "service",
    }
    assert {
        "service/http/openapi.json",
        "service/http/ui/index.html",
        "stores/predictions/migrations/script.py.mako",
    } <= packed
    assert {path for path in packed if "README" in path} == {"README.md"}
    assert not any((bento / "src" / path).read_text(encoding="utf-8").startswith("stray") for path in packed)
    requirements = (bento / "env" / "python" / "requirements.txt").read_text(encoding="utf-8")
    assert "bentoml==" in requirements
    assert "--hash=sha256:" in requirements
    assert "\ntorch==" not in requirements


def test_its_container_installs_no_system_package(bento):
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:3\.11-slim-bookworm\b", dockerfile, flags=re.MULTILINE)
    assert not re.search(r"apt-get|apk |build-essential|\bgit\b|gcc", dockerfile)


def test_it_serves_and_keeps_its_state_where_it_was_started(bundle, bento, home, tmp_path):
    before = files(bento)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".env").write_text("LOG_LEVEL=DEBUG\n", encoding="utf-8")
    # VAR_DIR unset: `var` in the working directory, as for a checkout.
    settings = {"MODEL_URI": str(bundle), "BENTOML_HOME": str(home), "VAR_DIR": "", "PYTHONPATH": ""}
    with serving(tmp_path / "log", settings, bento="champion:latest", cwd=elsewhere) as server:
        with server.client() as client:
            answer = client.post("/classify", json={"text": "The striker scored twice."}).json()
            assert answer["predictions"][0]["label"] == "sports"
            assert client.get("/ui").status_code == 200
            client.get("/livez", headers={"X-Request-Id": "a-probe"})
        assert (elsewhere / "var" / "predictions.db").is_file()
    assert {path.name for path in elsewhere.iterdir()} == {".env", "var"}
    assert {path for path in files(bento) - before if "__pycache__" not in path} == set()
    lines = [json.loads(line) for line in server.lines() if line.startswith("{")]
    assert any(line.get("request_id") == "a-probe" for line in lines), "`.env` is read where it was started"


@pytest.mark.parametrize("module", [False, True], ids=["bentoml serve", "python -m service serve"])
def test_state_inside_it_is_refused(bento, home, module):
    environment = {
        **os.environ,
        "BENTOML_HOME": str(home),
        "VAR_DIR": str(bento / "src" / "var"),
        "PYTHONPATH": "",
    }
    command = [sys.executable, "-m", "service", "serve"] if module else [BENTOML, "serve", str(bento)]
    command += ["--port", str(free_port())]
    done = subprocess.run(
        command, cwd=bento / "src", env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "VAR_DIR" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bento / "src" / "var").exists()
