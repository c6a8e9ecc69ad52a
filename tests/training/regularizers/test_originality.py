"""The regularisers are written here, from their papers: their syntax trees name torch and Python's own library only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.commands.cli import main
from training.commands.originality import FOLDER, check_file, check_regularisers

FILES = sorted(FOLDER.glob("*.py"))


def test_awp_and_mixout_are_checked() -> None:
    assert {"awp.py", "mixout.py"} <= {check.path.name for check in check_regularisers()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_but_torch_and_the_standard_library(path: Path) -> None:
    check = check_file(path)
    assert check.violations == ()
    assert check.passed


def test_another_library_is_seen_wherever_it_is_imported(tmp_path: Path) -> None:
    sneaky = tmp_path / "sneaky.py"
    sneaky.write_text("def f():\n    import numpy.linalg\n    return __import__('peft')\n")
    check = check_file(sneaky)
    assert check.imports == ("numpy",)
    assert check.violations == ("__import__", "numpy")
    relative = tmp_path / "relative.py"
    relative.write_text("from .. import awp\n")
    assert not check_file(relative).passed


def test_the_command_lists_every_file() -> None:
    ran = CliRunner().invoke(main, ["originality"], env={"COLUMNS": "100"})
    assert ran.exit_code == 0
    assert all(path.name in ran.output for path in FILES)


def test_each_file_runs_by_itself_elsewhere(tmp_path: Path) -> None:
    """Copied out of the project, with nothing of it to be found."""
    for path in FILES:
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    modules = ", ".join(path.stem for path in FILES if path.stem != "__init__")
    code = f"import sys; sys.path.insert(0, '.'); import {modules}; print('training' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == "False", ran.stderr
