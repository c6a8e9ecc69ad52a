"""`python -m benchmarks.serving`: the service beside what a user would run instead; tables, pictures and JSON.

Examples::

    python -m benchmarks.serving
    python -m benchmarks.serving --who champion,fastapi --rounds 1 --seconds 3
    python -m benchmarks.serving --set data.source=ag_news.csv --set data.header=false \\
        --set 'data.text_column=["2","3"]' --set data.label_column=1
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.serving.material import MaterialMissing, make_material
from benchmarks.serving.pictures import latency, throughput
from benchmarks.serving.running import OURS, Plan, closed_name, run
from benchmarks.serving.table import markdown

EVERYBODY = (
    "champion", "network", "float32", "fastapi", "bentoml", "batchable", "batchable_bundle", "litserve", "infinity",
    "mlflow", "mlflow_bundle",
)  # fmt: skip


@click.command()
@click.option("--who", default=",".join(EVERYBODY), show_default=True, help="Who takes part, by short names.")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds; medians are shown."
)
@click.option(
    "--seconds", default=8.0, show_default=True, type=click.FloatRange(0.5, 600), help="Length of one loop."
)
@click.option(
    "--threads", type=click.IntRange(1), help="Threads of every server. Default: one for each core."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Of the experiment that trains.")
def main(who: str, rounds: int, seconds: float, threads: int | None, overrides: tuple[str, ...]) -> None:
    """Measure every server on the same weights, threads and texts, in interleaved rounds."""
    console = Console()
    chosen = tuple(name.strip() for name in who.split(",") if name.strip())
    if unknown := sorted(set(chosen) - set(EVERYBODY)):
        raise click.UsageError(f"nobody is called {unknown[0]!r}; there are {', '.join(EVERYBODY)}")
    home = Path(os.environ.get("VAR_DIR", "var")).resolve() / "benchmark"
    folder = home / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder.mkdir(parents=True)
    try:
        material = make_material(home / "material", overrides, threads=threads or os.cpu_count() or 1)
    except MaterialMissing as error:
        raise click.ClickException(str(error)) from None
    results = run(
        Plan(chosen, rounds, seconds), material, folder, lambda words: console.print(words, style="dim")
    )
    ours = "Champion" if OURS in chosen else results.peers()[0]
    results.write(folder / "results.json")
    words = markdown(results, ours)
    (folder / "results.md").write_text(words, encoding="utf-8")
    throughput(results, ours, closed_name(32, "mixed"), folder / "throughput.png")
    latency(results, ours, folder / "latency.png")
    console.print(Markdown(words))
    console.print(f"tables, pictures and figures: {folder}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
