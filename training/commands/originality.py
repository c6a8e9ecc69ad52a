"""`python -m training originality`: show that AWP and Mixout are written here, from their papers.

The files of `training/regularizers/` may import torch and Python's standard library, and nothing that could import
another library by name. The check reads their syntax trees, so that it also sees imports inside functions.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parents[1] / "regularizers"
"""The folder that is checked."""

ALLOWED = frozenset({"torch", *sys.stdlib_module_names})
"""Top-level packages that a regulariser may import."""

DYNAMIC_IMPORTS = frozenset(
    {"__import__", "import_module", "exec", "eval", "load_module", "find_spec", "spec_from_file_location"}
)
"""Names with which a library can be imported without an import statement."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What one source file imports."""

    path: Path
    imports: tuple[str, ...]
    """Top-level packages, sorted."""
    violations: tuple[str, ...]
    """Packages that are not allowed, and names that could import others; sorted."""

    @property
    def passed(self) -> bool:
        """Whether the file uses nothing but what is allowed."""
        return not self.violations


def check_file(path: Path) -> FileCheck:
    """Check one Python file.

    Raises:
        SyntaxError: it is not valid Python.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {name.split(".")[0] for name in _imports(tree)}
    dynamic = _names(tree) & DYNAMIC_IMPORTS
    return FileCheck(path, tuple(sorted(imported)), tuple(sorted((imported - ALLOWED) | dynamic)))


def check_regularisers() -> list[FileCheck]:
    """Check every file of `training/regularizers/`."""
    return [check_file(path) for path in sorted(FOLDER.glob("*.py"))]


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def _names(tree: ast.AST) -> set[str]:
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@click.command()
def originality() -> None:
    """Check that AWP and Mixout use torch and Python's standard library only. Exit status 1: a file uses more."""
    table = Table("file", "imports", "result")
    checks = check_regularisers()
    for check in checks:
        result = "[green]passed[/]" if check.passed else f"[red]not allowed: {', '.join(check.violations)}[/]"
        table.add_row(check.path.name, ", ".join(check.imports), result)
    Console().print(table)
    sys.exit(0 if all(check.passed for check in checks) else 1)
