"""What the SBOM and the audit of an image are made from: the packages that the image holds, and no others."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    specification = importlib.util.spec_from_file_location("audit", ROOT / "deploy" / "audit.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_markers_and_removed_packages_are_left_out(audit: ModuleType) -> None:
    lock = """
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:aa
numpy==2.4.6 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
setuptools==80.0.0 \\
    --hash=sha256:dd
uvloop==0.23.0 ; python_full_version < '3.12' and sys_platform != 'win32' \\
    --hash=sha256:ee
zipp==4.1 ; python_full_version >= '3.12' \\
    --hash=sha256:ff
"""
    assert audit.installed(lock) == (
        "numpy==2.4.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "uvloop==0.23.0 \\\n    --hash=sha256:ee\n"
    )


def test_what_is_not_pinned_is_refused(audit: ModuleType) -> None:
    with pytest.raises(ValueError, match="numpy>=2"):
        audit.installed("numpy>=2\n")


@pytest.mark.parametrize("name", ["service", "catboost", "monitoring", "mlflow"])
def test_every_image_is_described_by_its_own_lock(audit: ModuleType, name: str) -> None:
    lock = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    everything = [
        Requirement(line.rstrip(" \\")) for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line)
    ]
    wanted = {
        each.name
        for each in everything
        if (each.marker is None or each.marker.evaluate(dict(audit.IMAGE))) and each.name not in audit.REMOVED
    }
    assert set(re.findall(r"^([A-Za-z0-9._-]+)==", audit.installed(lock), flags=re.MULTILINE)) == wanted
    assert len(wanted) > 50


def tool(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for pip-audit beside the interpreter: the advisory service gives no such answers on demand."""
    path = folder / "pip-audit"
    path.write_text(f"#!/bin/sh\nfor out; do :; done\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


def test_an_audit_without_an_answer_is_not_clean(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip-audit without a network ends with 1 and writes nothing."""
    tool(tmp_path, "echo no route to host >&2; exit 1", monkeypatch)
    out = tmp_path / "service.audit.json"
    out.write_text('{"status": "audited", "dependencies": []}', encoding="utf-8")
    assert audit.advisories(tmp_path / "requirements.txt", out) == audit.UNKNOWN
    assert json.loads(out.read_text()) == {
        "status": "not audited",
        "reason": "no route to host",
        "dependencies": [],
    }
    said = capsys.readouterr().err
    assert "NOT AUDITED" in said
    assert "no route to host" in said


def test_a_service_that_never_answers_is_waited_for_in_bounds(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, "exec sleep 600", monkeypatch)
    monkeypatch.setattr(audit, "_AUDIT_SECONDS", 0.2)
    out = tmp_path / "service.audit.json"
    assert audit.advisories(tmp_path / "requirements.txt", out) == audit.UNKNOWN
    assert json.loads(out.read_text())["status"] == "not audited"


CLEAN = '{"name": "a", "version": "1", "vulns": []}'
UNHEARD = '{"name": "b", "skip_reason": "not found"}'
KNOWN = '{"name": "c", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}'


@pytest.mark.parametrize(
    ("packages", "exit_status", "status"),
    [
        (CLEAN, 0, "audited"),
        (f"{CLEAN}, {KNOWN}", 1, "audited"),
        (f"{UNHEARD}, {CLEAN}", 3, "partly audited"),
        (f"{UNHEARD}, {KNOWN}", 1, "partly audited"),
        (UNHEARD, 3, "not audited"),
        ("", 3, "not audited"),
    ],
)
def test_the_status_tells_clean_from_known_and_unknown(
    audit: ModuleType,
    packages: str,
    exit_status: int,
    status: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reports in the form of pip-audit 2.10."""
    tool(tmp_path, f'cat >"$out" <<\'END\'\n{{"dependencies": [{packages}]}}\nEND', monkeypatch)
    out = tmp_path / "service.audit.json"
    assert audit.advisories(tmp_path / "requirements.txt", out) == exit_status
    report = json.loads(out.read_text())
    assert report["status"] == status
    assert ("reason" in report) == (status == "not audited")


def test_where_the_tools_cannot_be_installed_the_reports_say_so(tmp_path: Path) -> None:
    """The real script, with a package index that does not answer."""
    root = tmp_path / "project"
    for part in ("deploy", "requirements"):
        shutil.copytree(ROOT / part, root / part)
    stale = root / "var" / "image" / "service.cdx.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    unreachable |= {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    run = subprocess.run(
        [root / "deploy" / "image", "audit"],
        env={**os.environ, **unreachable, "AUDIT": "report"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "NO AUDIT" in run.stderr
    for image in ("service", "monitoring", "mlflow"):
        report = json.loads((stale.parent / f"{image}.audit.json").read_text())
        assert report["status"] == "not audited"
    assert not stale.exists()
