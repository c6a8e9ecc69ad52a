"""What the benchmark tells: a table as Markdown, every figure as JSON, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg

from benchmarks.training.rounds import Rounds
from benchmarks.training.texts import BenchmarkTexts
from training.config.network import NetworkConfig
from training.evaluation.plots import BLUE, GREY, ORANGE
from training.reporting.run_report import write_json
from training.style import LiteralFigure

_WAYS = {
    "plain": 'Trainer, `padding="max_length"`, default optimiser',
    "ours": "this project",
}


def write_benchmark(
    folder: Path, rounds: Rounds, texts: BenchmarkTexts, config: NetworkConfig, lengths: Mapping[str, float]
) -> str:
    """Write `training-speed.md`, `.json` and `.png` into `folder`; returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    page = as_markdown(rounds, texts, config, lengths)
    (folder / "training-speed.md").write_text(page, encoding="utf-8")
    write_json(
        folder / "training-speed.json",
        {"source": texts.source, "config": config.model_dump(mode="json"), **lengths, **rounds.as_dict()},
    )
    draw(rounds, folder / "training-speed.png", title=texts.source)
    return page


def as_markdown(
    rounds: Rounds, texts: BenchmarkTexts, config: NetworkConfig, lengths: Mapping[str, float]
) -> str:
    """The table, with what one must know to read it."""
    count, gain = len(rounds.ratios), rounds.gain
    lines = ["| way | texts/s | times as fast | macro-F1 |", "|---|---:|---:|---:|"]
    for way, description in _WAYS.items():
        times = "1" if way == "plain" else f"**{rounds.speedup:.2f}**"
        lines.append(
            f"| {description} | {rounds.texts_a_second(way):.1f} | {times} | {rounds.macro_f1(way):.3f} |"
        )
    lines += [
        "",
        f"{texts.source}: {len(texts.splits.train)} training texts, {config.epochs:g} "
        f"epoch{'s' * (config.epochs != 1)}, batches of {config.batch_size}, "
        f"{config.weights}, at most {config.max_length} tokens (mean "
        f"{lengths['mean_tokens']:.0f}, longest {lengths['longest']:.0f}). "
        f"{count} rounds in turns, medians; round by round "
        f"{', '.join(f'{ratio:.2f}' for ratio in rounds.ratios)} times as fast; by processor time "
        f"{rounds.cpu_speedup:.2f} times. Tokenising and an evaluation an epoch are part of both times, and a "
        "checkpoint an epoch of ours.",
        "",
        f"Macro-F1 on {len(texts.splits.test)} test texts: the difference, paired by seed, is {gain.value:+.3f} (95 % "
        f"interval {gain.low:+.3f} to {gain.high:+.3f}).",
    ]
    return "\n".join(lines) + "\n"


def draw(rounds: Rounds, path: Path, *, title: str) -> Path:
    """Texts a second of both ways, a dot a round, and macro-F1 beside it."""
    figure = LiteralFigure(figsize=(9, 2.6), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    speed, quality = figure.subplots(1, 2, sharey=True)
    for place, (way, items) in enumerate(rounds.measured.items()):
        colour = BLUE if way == "ours" else ORANGE
        speed.barh(place, rounds.texts_a_second(way), color=colour, height=0.5)
        each = [rounds.texts_a_round / item.seconds for item in items]
        speed.plot(each, [place] * len(each), "o", color=GREY, markersize=4)
        quality.plot([item.macro_f1 for item in items], [place] * len(items), "o", color=GREY, markersize=4)
        quality.plot(rounds.macro_f1(way), place, "o", color=colour, markersize=9)
    speed.set_yticks(range(len(rounds.measured)), list(rounds.measured))
    speed.set_ylim(-0.6, len(rounds.measured) - 0.4)
    speed.set_xlabel(f"texts/s, median: ours {rounds.speedup:.2f} times as fast; grey: each round")
    quality.set_xlabel("macro-F1 on the test texts, mean; grey: each round")
    quality.margins(x=0.2)
    for axes in (speed, quality):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    figure.suptitle(f"Fine-tuning on {title}")
    figure.savefig(path)
    return path
