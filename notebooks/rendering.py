"""Running lessons in a real kernel, and rendering what came of it as pages that need nothing from the internet."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

_HERE = Path(__file__).parent
_LESSON = re.compile(r"\d\d_\w+\.py")
_CELL_SECONDS = 1800
_FORGET = "%reset -f"


class RenderingFailed(Exception):
    """A cell of a lesson has failed; names the lesson, and shows the cell."""


def lessons() -> list[Path]:
    """The lessons, in their order."""
    return sorted(path for path in _HERE.iterdir() if _LESSON.fullmatch(path.name))


def as_notebook(path: Path) -> nbformat.NotebookNode:
    """The lesson at `path` as a notebook without outputs, the same at every call."""
    notebook: nbformat.NotebookNode = jupytext.read(path)
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"{path.stem}-{place}"  # else drawn at random
    return notebook


def write_notebooks() -> list[Path]:
    """Write each lesson as `NAME.ipynb` beside its script; returns the paths."""
    written = []
    for path in lessons():
        written.append(path.with_suffix(".ipynb"))
        nbformat.write(as_notebook(path), written[-1])  # type: ignore[no-untyped-call]
    return written


def render(chosen: Sequence[Path], folder: Path, *, smoke: bool = False) -> Iterator[Path]:
    """Run each lesson, and write `NAME.ipynb` and `NAME.html` into `folder`; yields each page when it is there.

    All run in one kernel, one after the other, so that imports are paid once; between lessons every name is cleared.

    Raises:
        RenderingFailed: a cell has failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _kernel(smoke) as kernel:
        for path in chosen:
            notebook = jupytext.read(path)
            notebook.cells.insert(0, nbformat.v4.new_code_cell(_FORGET))  # type: ignore[no-untyped-call]
            try:
                NotebookClient(
                    notebook,
                    km=kernel,
                    timeout=_CELL_SECONDS,
                    resources={"metadata": {"path": str(_HERE.parent)}},
                ).execute()
            except CellExecutionError as error:
                raise RenderingFailed(f"{path.name}: {error}") from None
            del notebook.cells[0]
            _number_from_one(notebook)
            nbformat.write(notebook, folder / f"{path.stem}.ipynb")  # type: ignore[no-untyped-call]
            page = folder / f"{path.stem}.html"
            page.write_text(_html(notebook, path.stem), encoding="utf-8")
            yield page


def _number_from_one(notebook: nbformat.NotebookNode) -> None:
    """Cells are numbered as in a kernel of their own."""
    for number, cell in enumerate(
        (cell for cell in notebook.cells if cell.cell_type == "code"), start=1
    ):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number


@contextmanager
def _kernel(smoke: bool) -> Iterator[KernelManager]:
    # The kernel is killed in the end, and so cannot remove what the lessons made.
    with (
        tempfile.TemporaryDirectory(prefix="lessons-") as scratch,
        _kernel_in(scratch, smoke) as kernel,
    ):
        yield kernel


@contextmanager
def _kernel_in(scratch: str, smoke: bool) -> Iterator[KernelManager]:
    kernel = KernelManager(kernel_name="python3", transport="ipc")
    kernel.start_kernel(
        cwd=str(_HERE.parent),
        env={
            **os.environ,
            "TMPDIR": scratch,
            "NOTEBOOKS_SMOKE": "1" if smoke else "",
            # The project's code is imported from here, whatever else is installed.
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(_HERE.parent), os.environ.get("PYTHONPATH")])
            ),
        },
    )
    try:
        yield kernel
    finally:
        kernel.shutdown_kernel(now=True)
        kernel.cleanup_resources()


def _html(notebook: nbformat.NotebookNode, title: str) -> str:
    # No script from anywhere: the pages show formulas as they are written, and need no other.
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        widget_renderer_url="",
        mermaid_js_url="",
        theme="light",
    )
    body: str
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return body
