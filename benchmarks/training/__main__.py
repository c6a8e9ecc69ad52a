"""`python -m benchmarks.training`: training throughput against the plain way, both in turns, with equal F1 shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from training.data import DataError
from training.errors import TrainingError

_SEED = 42


@click.command()
@click.option(
    "--texts",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="AG News' train.csv, or any file with a text and a label column; default: the packaged BBC News, cut to "
    "pieces of the length of news.",
)
@click.option("--train", type=click.IntRange(min=16), default=512, show_default=True, help="Training texts.")
@click.option("--test", type=click.IntRange(min=16), default=500, show_default=True, help="Test texts.")
@click.option(
    "--rounds", type=click.IntRange(min=2), default=3, show_default=True, help="Trainings each way."
)
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--layers", type=click.IntRange(min=1), help="Layers of MiniLM to keep; default: all.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the report.")
def main(
    texts: Path | None,
    train: int,
    test: int,
    rounds: int,
    epochs: float,
    layers: int | None,
    out: Path | None,
) -> None:
    """Fine-tune MiniLM our way and the plain way in turns, and say how many times as fast ours is.

    The plain way: transformers' Trainer with padding="max_length" at 128 tokens and its default optimiser.
    """  # fmt: skip
    console = Console()
    try:
        folder = benchmark(
            console, texts, train=train, test=test, rounds=rounds, epochs=epochs, layers=layers, out=out
        )
    except (TrainingError, DataError) as error:
        raise click.ClickException(str(error)) from None
    console.print(f"Table, figures and picture: {folder}", highlight=False, soft_wrap=True)


def benchmark(
    console: Console,
    texts: Path | None,
    *,
    train: int,
    test: int,
    rounds: int,
    epochs: float,
    layers: int | None = None,
    out: Path | None = None,
) -> Path:
    """Measure, print the table and write the report; returns its folder. The arguments are those of the command.

    Raises:
        TrainingError, DataError: weights or texts cannot be had.
    """
    from benchmarks.training.report import write_benchmark
    from benchmarks.training.rounds import run_rounds
    from benchmarks.training.texts import benchmark_texts
    from benchmarks.training.ways import token_lengths
    from training.config.network import NetworkConfig  # torch takes seconds
    from training.settings import TrainingSettings

    found = benchmark_texts(texts, train=train, test=test, seed=_SEED)
    if texts is None:
        console.print("No file of texts is given (--texts): BBC News stands in for AG News.")
    config = NetworkConfig(max_length=128, epochs=epochs, learning_rate=1e-4, batch_size=16, layers=layers)
    measured = run_rounds(
        config, found.splits, range(_SEED, _SEED + rounds), lambda said: console.print(said, highlight=False)
    )
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    folder = out or TrainingSettings().reports / f"training-speed-{stamp}"
    page = write_benchmark(folder, measured, found, config, token_lengths(config, found.splits.train))
    console.print(page, highlight=False, markup=False)
    return folder


if __name__ == "__main__":
    main()
