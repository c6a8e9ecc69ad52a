"""The regularisers are written here, from their papers: their syntax trees name torch and Python's own library only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_house import imports

FOLDER = Path(__file__).parents[3] / "training" / "regularisers"
FILES = sorted(FOLDER.glob("*.py"))
ALLOWED = {"torch", *sys.stdlib_module_names}
WAYS_AROUND = {
    "__import__",
    "import_module",
    "exec",
    "eval",
    "load_module",
    "find_spec",
    "spec_from_file_location",
}
"""Names that could import what no import statement names."""


def names(tree: ast.AST) -> set[str]:
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_awp_and_mixout_are_among_them() -> None:
    assert {"awp.py", "mixout.py"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_but_torch_and_the_standard_library(path: Path) -> None:
    imported = {name.split(".")[0] for _, name in imports(path)}
    assert imported <= ALLOWED, f"{path.name} stands on {imported - ALLOWED}"
    assert not names(ast.parse(path.read_text(encoding="utf-8"))) & WAYS_AROUND


def test_the_reader_would_see_another_library(tmp_path: Path) -> None:
    sneaky = tmp_path / "sneaky.py"
    sneaky.write_text("def f():\n    import numpy\n    return __import__('peft')\n")
    assert {name for _, name in imports(sneaky)} - ALLOWED == {"numpy"}
    assert names(ast.parse(sneaky.read_text())) & WAYS_AROUND == {"__import__"}


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
