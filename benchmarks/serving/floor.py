"""`python -m benchmarks.serving.floor`: exit 1 when the service is less than N times as fast as FastAPI + pipeline.

Both are measured in the same run, in turns, so that a busy machine slows both. It is the short form of
`python -m benchmarks.serving`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from benchmarks.serving.material import MaterialMissing, make_material
from benchmarks.serving.peers import peers
from benchmarks.serving.results import Results
from benchmarks.serving.running import OURS, Plan, closed_name, run

BASELINE = "fastapi"
_CLIENTS = 32
_LEAST = 2.0
"""Below what was measured in float32, which is what a processor without fast int8 runs: docs/serving.md."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the two compare."""

    ours: float
    """Requests a second."""
    baseline: float
    failed: int
    """Requests of ours that were not answered."""
    least: float
    """Multiple that is demanded."""

    @property
    def multiple(self) -> float:
        """How many times as fast; 0 where the baseline was not measured."""
        return self.ours / self.baseline if self.baseline else 0.0

    @property
    def kept(self) -> bool:
        """Whether the demand is met."""
        return self.multiple >= self.least and not self.failed


def verdict(results: Results, ours: str, baseline: str, least: float) -> Verdict:
    """What follows from the medians of `results`, for the peers of these names."""
    scenario = closed_name(_CLIENTS, "mixed")
    return Verdict(
        results.rate_of(ours, scenario),
        results.rate_of(baseline, scenario),
        sum(item.failed for item in results.of(ours, scenario)),
        least,
    )


@click.command()
@click.option("--least", default=_LEAST, show_default=True, type=float, help="Multiple below which it fails.")
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1), help="Rounds; medians count.")
@click.option("--seconds", default=5.0, show_default=True, type=float, help="Length of one loop.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Of the experiment that trains.")
def main(least: float, rounds: int, seconds: float, overrides: tuple[str, ...]) -> None:
    """Measure both and say whether the floor holds."""
    console = Console()
    home = Path(os.environ.get("VAR_DIR", "var")).resolve() / "benchmark"
    try:
        material = make_material(home / "material", overrides, threads=os.cpu_count() or 1)
    except MaterialMissing as error:
        raise click.ClickException(str(error)) from None
    folder = Path(tempfile.mkdtemp(prefix="floor-", dir=home))
    plan = Plan(
        (OURS, BASELINE), rounds, seconds, (_CLIENTS,), kinds=(), open_loop=False, ceiling=False, bulk=False
    )
    results = run(plan, material, folder, lambda words: console.print(words, style="dim"))
    if results.failures:
        raise click.ClickException("; ".join(results.failures.values()))
    named = peers(material, folder)
    found = verdict(results, named[OURS].name, named[BASELINE].name, least)
    console.print(
        f"{found.ours:.1f} requests a second against {found.baseline:.1f}: {found.multiple:.2f} times as fast; "
        f"at least {least:g} is demanded. {found.failed} failed.",
        highlight=False,
    )
    sys.exit(0 if found.kept else 1)


if __name__ == "__main__":
    main()
