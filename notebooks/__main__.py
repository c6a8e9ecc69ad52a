"""`python -m notebooks`: run the lessons and render them as pages.

Examples::

    python -m notebooks                        # all of them, into var/notebooks/
    python -m notebooks 04 05 --smoke          # two of them, at a size that takes seconds
    python -m notebooks --write                # after a change of a script: its .ipynb file in notebooks/
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from stores.settings import VarSettings

from notebooks.rendering import RenderingFailed, lessons, render, write_notebooks


@click.command()
@click.argument("numbers", nargs=-1)
@click.option("--smoke", is_flag=True, help="A few short texts and one pass over them.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the pages go; default: notebooks/ under VAR_DIR.",
)
@click.option(
    "--write",
    is_flag=True,
    help="Only write the scripts as .ipynb files beside them, without outputs.",
)
def main(numbers: tuple[str, ...], smoke: bool, out: Path | None, write: bool) -> None:
    """Run the lessons NUMBERS (00 to 07; default: all) and render each as a page and as a notebook."""
    console = Console()
    if write:
        for path in write_notebooks():
            console.print(path, soft_wrap=True, highlight=False)
        return
    chosen = [path for path in lessons() if not numbers or path.name.startswith(numbers)]
    if not chosen:
        known = ", ".join(path.name[:2] for path in lessons())
        raise click.UsageError(f"there is no lesson {', '.join(numbers)}; there are {known}")
    folder = out or VarSettings().folder("notebooks")
    try:
        for page in render(chosen, folder, smoke=smoke):
            console.print(page, soft_wrap=True, highlight=False)
    except RenderingFailed as error:
        Console(stderr=True).print(
            f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True
        )
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
