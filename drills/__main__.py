"""`python -m drills [NAME…]`: run faults against real processes, and show which promises held.

Examples::

    python -m drills                      # all, about 15 minutes on two cores
    python -m drills stores kills.service # by subject or name
    python -m drills --scale 0.1          # a quick look
    python -m drills --write-docs         # docs/reliability.md from the last results
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from drills.registry import all_drills, chosen
from drills.results import Result, keep, kept, page, table
from drills.running import run_drills
from stores.settings import VarSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Show the drills and their promises.")
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Factor on counts and durations.",
)
@click.option("--seed", default=13, show_default=True, help="Of what is drawn at random.")
@click.option(
    "--write-docs", is_flag=True, help="Write docs/reliability.md from the last results; run nothing."
)
def main(names: tuple[str, ...], listed: bool, scale: float, seed: int, write_docs: bool) -> None:
    """Run drills by NAME, subject or pattern (all without one); exits with 1 if a promise did not hold."""
    console = Console()
    drills = all_drills()
    folder = VarSettings().folder("drills")
    if write_docs:
        PAGE.write_text(page(drills, kept(folder)), encoding="utf-8")
        console.print(f"{PAGE} is written.")
        return
    try:
        wanted = chosen(drills, names)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if listed:
        for each in wanted:
            console.print(f"[bold]{each.name}[/]  {escape(each.promise)}", highlight=False)
        return

    def report(result: Result) -> None:
        keep([result], folder)
        console.print(
            f"{result.name}: {result.word}, {result.seconds:.0f} s; {escape(result.figure)}", highlight=False
        )

    results = run_drills(wanted, folder / "runs", scale=scale, seed=seed, report=report)
    console.print(table(results))
    failed = [result.name for result in results if not result.held]
    if failed:
        console.print(f"FAILED: {', '.join(failed)}", style="bold red")
        sys.exit(1)


if __name__ == "__main__":
    main()
