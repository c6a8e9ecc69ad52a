"""The lessons run from beginning to end in a real kernel, and their pages need nothing from the internet."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from notebooks.rendering import as_notebook, lessons

ROOT = Path(__file__).parents[1]


def test_there_are_eight_in_their_order():
    assert [path.name[:2] for path in lessons()] == [f"{number:02}" for number in range(8)]


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_a_lesson_uses_the_projects_code_and_asserts(path: Path):
    notebook = jupytext.read(path)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    imported = {
        node.module.split(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert "training" in imported
    assert "assert " in code
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    assert words > 80, "a lesson explains"


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_the_notebook_equals_its_script(path: Path):
    """`python -m notebooks --write` brings it up to date."""
    written = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(written)
    expected = as_notebook(path)
    assert [(cell.cell_type, cell.source) for cell in written.cells] == [
        (cell.cell_type, cell.source) for cell in expected.cells
    ]
    assert not any(cell.get("outputs") for cell in written.cells)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_they_run_and_their_pages_stand_alone(tmp_path: Path):
    command = [sys.executable, "-m", "notebooks", "--smoke", "--out", str(tmp_path / "pages")]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert not list(temporary.glob("lesson*")), "nothing is left behind"
    for path in lessons():
        assert f"{path.stem}.html" in result.stdout
        page = (tmp_path / "pages" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert not re.findall(r"""(?:src|href)=["']https?://(?!arxiv\.org)[^"']+|url\(["']?https?:""", page)
        assert str(ROOT) not in page
        notebook = nbformat.read(tmp_path / "pages" / f"{path.stem}.ipynb", as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    pictures = (tmp_path / "pages" / "07_orchestration.html").read_text(encoding="utf-8")
    assert "data:image/png;base64" in pictures
