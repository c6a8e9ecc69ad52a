"""Imports between the files of training: no circle, not even one of imports for types only."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "training").rglob("*.py")
}


def _imported(path: Path) -> set[str]:
    """Files of training that a file imports as a whole, also under TYPE_CHECKING; not those that a function imports."""
    found = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else node.module for name in names}
    return found & set(FILES)


def test_no_circle_of_files() -> None:
    graph = {name: _imported(path) - {name} for name, path in FILES.items()}
    assert graph["training.pipeline.run"] > {"training.pipeline.register", "training.pipeline.observers"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_run_neither_prints_nor_logs() -> None:
    """Console, MLflow, log and report folder are observers of `run_experiment`."""
    tree = ast.parse(FILES["training.pipeline.run"].read_text(encoding="utf-8"))
    (story,) = [node for node in tree.body if getattr(node, "name", "") == "run_experiment"]
    called = {ast.unparse(node.func) for node in ast.walk(story) if isinstance(node, ast.Call)}
    assert "run_candidate" in called
    assert {
        name for name in called if name.startswith(("console.", "mlflow.", "log.", "write_", "log_"))
    } == set()
