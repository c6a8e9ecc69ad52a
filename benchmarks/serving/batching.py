"""`python -m benchmarks.serving.batching`: our batcher beside BentoML's, over the same bundle in float32.

Each is asked what tells batchers apart: texts of mixed length, lists beside single texts, a text that breaks the model,
and more requests at once than there is room for. Rounds are interleaved.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.serving.driving import Target, closed, statuses
from benchmarks.serving.material import Material, MaterialMissing, make_material
from benchmarks.serving.peers import Peer, peers
from benchmarks.serving.poison import poisoned
from benchmarks.serving.results import median
from benchmarks.serving.servers.room import ROOM
from benchmarks.serving.starting import DidNotStart, started

THEIRS, OURS = "batchable_bundle", "float32"
_CLIENTS, _SINGLES, _LIST = 32, 8, 200
_POISON_EVERY = 40
_BURST = 2 * ROOM


@dataclass
class Figures:
    """What one batcher did, a value a round."""

    rate: list[float] = field(default_factory=list)
    """Requests a second, 32 clients, mixed texts."""
    p99: list[float] = field(default_factory=list)
    """Milliseconds of these."""
    beside_lists: list[float] = field(default_factory=list)
    """99 % of single texts were answered within so many milliseconds while another client sent lists of 200."""
    innocent: list[float] = field(default_factory=list)
    """Share of the requests that failed, of those whose own text is sound."""
    answered: list[float] = field(default_factory=list)
    """Of a burst of twice the room."""
    refused: list[float] = field(default_factory=list)
    """Of the burst, with 429."""
    told: list[float] = field(default_factory=list)
    """Of the refused: told when to come again."""
    lost: list[float] = field(default_factory=list)
    """Of the burst: with any other status, or none."""


@click.command()
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds; medians are shown."
)
@click.option("--seconds", default=6.0, show_default=True, type=float, help="Length of one loop.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Of the experiment that trains.")
def main(rounds: int, seconds: float, overrides: tuple[str, ...]) -> None:
    """Measure both, and show what came of it."""
    console = Console()
    home = Path(os.environ.get("VAR_DIR", "var")).resolve() / "benchmark"
    try:
        material = make_material(home / "material", overrides, threads=os.cpu_count() or 1)
    except MaterialMissing as error:
        raise click.ClickException(str(error)) from None
    folder = Path(tempfile.mkdtemp(prefix="batching-", dir=home))
    try:
        found = compare(material, folder, rounds, seconds, lambda words: console.print(words, style="dim"))
    except DidNotStart as error:
        raise click.ClickException(str(error)) from None
    console.print(Markdown(table(found)))


def compare(
    material: Material, folder: Path, rounds: int, seconds: float, say: Callable[[str], None]
) -> dict[str, Figures]:
    """Ask both in every round; name of the peer → what it did.

    Raises:
        DidNotStart: one of them cannot be asked.
    """
    broken, word = poisoned(material, folder / "poisoned")
    everybody = peers(broken, folder)
    everybody[OURS] = replace(
        everybody[OURS],
        environment={**everybody[OURS].environment, "QUEUE_TEXTS": str(ROOM), "MAX_TEXTS": str(ROOM)},
    )
    figures = {name: Figures() for name in (THEIRS, OURS)}
    for round_ in range(1, rounds + 1):
        for name, mine in figures.items():
            say(f"round {round_} of {rounds}: {everybody[name].name}")
            with started(everybody[name], broken, folder / f"{name}-{round_}.log") as running:
                address = f"{running.address}{everybody[name].path}"
                asyncio.run(_ask(everybody[name], address, material.kinds()["mixed"], word, seconds, mine))
    return figures


async def _ask(
    peer: Peer, address: str, texts: Sequence[str], word: str, seconds: float, into: Figures
) -> None:
    target = Target(address, peer.body)
    await closed(target, texts, _CLIENTS, 2.0)  # warm
    seen = await closed(target, texts, _CLIENTS, seconds)
    into.rate.append(seen.rate)
    into.p99.append(seen.percentile(0.99))

    lists = Target(address, lambda _: _many(peer, texts[:_LIST]))
    singles, _ = await asyncio.gather(
        closed(target, texts, _SINGLES, seconds), closed(lists, texts, 1, seconds)
    )
    into.beside_lists.append(singles.percentile(0.99))

    mixed = [f"{text} {word}" if place % _POISON_EVERY == 0 else text for place, text in enumerate(texts)]
    codes = await statuses(target, mixed[: 20 * _CLIENTS], _CLIENTS)
    sound = [code for place, (code, _) in enumerate(codes) if place % _POISON_EVERY]
    into.innocent.append(sum(code != 200 for code in sound) / len(sound))

    burst = await statuses(target, [texts[place % len(texts)] for place in range(_BURST)], _BURST)
    into.answered.append(sum(code == 200 for code, _ in burst))
    into.refused.append(sum(code == 429 for code, _ in burst))
    into.told.append(sum(code == 429 and retry is not None for code, retry in burst))
    into.lost.append(sum(code not in (200, 429) for code, _ in burst))


def _many(peer: Peer, texts: Sequence[str]) -> Any:
    """The body that asks for a list: both take one where a single text's body has the text."""
    (key,) = peer.body("")
    return {key: list(texts)}


def table(found: dict[str, Figures]) -> str:
    """Markdown, medians over the rounds."""
    rows: list[tuple[str, str, Callable[[Figures], list[float]]]] = [
        (f"{_CLIENTS} clients, mixed texts: requests/s", ".1f", lambda item: item.rate),
        ("… 99 of 100 answered within ms", ".0f", lambda item: item.p99),
        (
            f"{_SINGLES} clients with single texts beside one with lists of {_LIST}: 99 of 100 singles within ms",
            ".0f",
            lambda item: item.beside_lists,
        ),
        (
            f"one text in {_POISON_EVERY} breaks the model: share of the other requests that failed",
            ".1%",
            lambda item: item.innocent,
        ),
        (f"{_BURST} requests at once, room for {ROOM}: answered", ".0f", lambda item: item.answered),
        ("… refused with 429", ".0f", lambda item: item.refused),
        ("… of these with `Retry-After`", ".0f", lambda item: item.told),
        ("… anything else", ".0f", lambda item: item.lost),
    ]
    lines = ["| | BentoML `batchable` | Champion, float32 |", "|---|---:|---:|"]
    for words, digits, of in rows:
        theirs, ours = (format(median(of(found[name])), digits) for name in (THEIRS, OURS))
        lines.append(f"| {words} | {theirs} | {ours} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
