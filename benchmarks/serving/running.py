"""The rounds: in each, every server is started, asked in every scenario, and stopped, in an order drawn anew."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.driving import Target, answers, closed, opened
from benchmarks.serving.material import Material
from benchmarks.serving.peers import Peer, peers
from benchmarks.serving.quality import measure_quality
from benchmarks.serving.results import Results, Start
from benchmarks.serving.starting import DidNotStart, Running, started

OURS, NETWORK, NETWORK_FLOAT32 = "champion", "network", "float32"
OPEN, LISTS = "open-mixed", "lists-2-mixed"
EARLY = "early"
"""Kind of the texts that the first stage of the champion answers."""
_LIST_TEXTS, _LIST_CLIENTS = 200, 2
_ROOT = Path(__file__).parents[2]
_WARM_UP_SECONDS = 2.0
_COMPARED = 40
"""Texts on which servers must agree."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    who: tuple[str, ...]
    rounds: int
    seconds: float
    """Of each loop."""
    clients: tuple[int, ...] = (1, 8, 32)
    kinds: tuple[str, ...] = ("short", "long")
    """Kinds of texts beside `mixed`, sent by the largest number of clients."""
    open_loop: bool = True
    ceiling: bool = True
    bulk: bool = True
    """Whether lists, files and early answers alone are measured, and the quality beside the network."""
    seed: int = 0


def closed_name(clients: int, kind: str) -> str:
    """Name of a closed loop."""
    return f"closed-{clients}-{kind}"


def run(plan: Plan, material: Material, folder: Path, say: Callable[[str], None]) -> Results:
    """Measure, and return what came of it; a server that cannot take part is noted, and the others go on.

    Args:
        plan: what to measure.
        material: weights and texts.
        folder: for logs and what servers keep.
        say: told what is going on.
    """
    kinds = material.kinds(plan.seed)
    results = Results(
        machine={"cores": os.cpu_count() or 0, "threads": material.threads},
        texts={kind: sum(len(text.split()) for text in texts) / len(texts) for kind, texts in kinds.items()},
    )
    if plan.bulk:
        say("classifying the unseen texts with the champion and the network")
        results.quality, early = measure_quality(material)
        kinds[EARLY] = list(early)
    everybody = {name: peer for name, peer in peers(material, folder).items() if name in plan.who}
    for name, peer in everybody.items():
        if peer.prepare:
            say(f"preparing {peer.name}")
            _prepare(peer, material, folder / f"{name}-prepare.log", results)
    chance = random.Random(plan.seed)
    expected: list[str] = []
    for round_ in range(1, plan.rounds + 1):
        order = [name for name in everybody if everybody[name].name not in results.failures]
        chance.shuffle(order)
        if not expected and OURS in order:  # the others are compared with it
            order.sort(key=lambda name: name != OURS)
        for name in order:
            say(f"round {round_} of {plan.rounds}: {everybody[name].name}")
            log = folder / f"{name}-{round_}.log"
            try:
                with started(everybody[name], material, log) as running:
                    found = _measure(everybody[name], running, plan, kinds, round_, results, expected)
                    expected = expected or found
            except DidNotStart as error:
                results.failures[everybody[name].name] = str(error)
                say(str(error))
        if plan.bulk:
            for name, bundle in ((OURS, material.champion), (NETWORK, material.bundle)):
                if name in order:
                    say(f"round {round_} of {plan.rounds}: {everybody[name].name} on a file")
                    rate = _file_rate(bundle, material, folder / f"{name}-files")
                    in_process, _ = _ceiling(bundle, material, material.texts, folder)
                    results.files.append((everybody[name].name, round_, rate, in_process))
        if plan.ceiling:
            say(f"round {round_} of {plan.rounds}: the classifier in-process")
            for kind in ("mixed", *plan.kinds):
                rate, milliseconds = _ceiling(material.champion, material, kinds[kind], folder)
                results.ceilings.append((round_, kind, rate))
                results.calls.append((round_, kind, milliseconds))
    if plan.open_loop:
        _open_loops(plan, everybody, material, kinds["mixed"], folder, results, say)
    return results


def _measure(
    peer: Peer,
    running: Running,
    plan: Plan,
    kinds: dict[str, list[str]],
    round_: int,
    results: Results,
    expected: Sequence[str],
) -> list[str]:
    """Every closed loop of one server; returns its labels of some texts."""
    target = Target(f"{running.address}{peer.path}", peer.body)
    labels = [peer.label(answer) for answer in asyncio.run(answers(target, kinds["mixed"][:_COMPARED]))]
    asyncio.run(closed(target, kinds["mixed"], max(plan.clients), _WARM_UP_SECONDS))
    loops = [(clients, "mixed") for clients in plan.clients]
    loops += [(max(plan.clients), kind) for kind in plan.kinds]
    for clients, kind in loops:
        seen = asyncio.run(closed(target, kinds[kind], clients, plan.seconds))
        results.add(peer.name, closed_name(clients, kind), round_, seen)
    if plan.bulk and peer.list_body is not None:
        lists = [kinds["mixed"][at : at + _LIST_TEXTS] for at in range(0, len(kinds["mixed"]), _LIST_TEXTS)]
        lists = lists[:-1] or lists  # all of one length
        seen = asyncio.run(closed(Target(target.url, peer.list_body), lists, _LIST_CLIENTS, plan.seconds))
        results.add(peer.name, LISTS, round_, seen, texts=len(lists[0]))
    if kinds.get(EARLY) and peer.is_champion:
        seen = asyncio.run(closed(target, kinds[EARLY], max(plan.clients), plan.seconds))
        results.add(peer.name, closed_name(max(plan.clients), EARLY), round_, seen)
    same = [mine == theirs for mine, theirs in zip(labels, expected or labels, strict=True)]
    results.starts.append(
        Start(
            peer.name, round_, running.start_seconds, running.megabytes(), sum(same) / len(same),
            _padding(running.address + peer.metrics) if peer.metrics else None,
        )
    )  # fmt: skip
    return labels


def _open_loops(
    plan: Plan,
    everybody: dict[str, Peer],
    material: Material,
    texts: list[str],
    folder: Path,
    results: Results,
    say: Callable[[str], None],
) -> None:
    """Every server at half of the rate that the best peer reached: the same load for all."""
    most = closed_name(max(plan.clients), "mixed")
    ours = {everybody[name].name for name in (OURS, NETWORK, NETWORK_FLOAT32) if name in everybody}
    capacities = [results.rate_of(name, most) for name in results.peers() if name not in ours]
    results.rate = 0.5 * max(capacities or [results.rate_of(name, most) for name in results.peers()])
    for round_ in range(1, plan.rounds + 1):
        for name, peer in everybody.items():
            if peer.name in results.failures:
                continue
            say(f"round {round_} of {plan.rounds}: {peer.name} at {results.rate:.1f} requests a second")
            with started(peer, material, folder / f"{name}-open-{round_}.log") as running:
                target = Target(f"{running.address}{peer.path}", peer.body)
                asyncio.run(closed(target, texts, 8, _WARM_UP_SECONDS))
                seen = asyncio.run(opened(target, texts, results.rate, 2 * plan.seconds, seed=round_))
                results.add(peer.name, OPEN, round_, seen)


def _prepare(peer: Peer, material: Material, log: Path, results: Results) -> None:
    environment = {
        **os.environ,
        "WEIGHTS": str(material.weights),
        "MAX_LENGTH": str(material.max_length),
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("wb") as output:
        done = subprocess.run(
            peer.prepare, cwd=_ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        results.failures[peer.name] = f"it could not be prepared: see {log}"


def _ceiling(bundle: Path, material: Material, texts: Sequence[str], folder: Path) -> tuple[float, float]:
    """A bundle in-process: texts a second in length-sorted batches, and milliseconds of one text by itself."""
    path = folder / "ceiling.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.serving.throughput", str(bundle), str(path)]
    done = subprocess.run(
        [*command, "--threads", str(material.threads)], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout)
    return float(figures["texts_per_second"]), float(figures["latency_ms_p50"])


def _file_rate(bundle: Path, material: Material, folder: Path) -> float:
    """Rows a second of `python -m service.batch` over a file of all texts, without its start, as it prints it."""
    folder.mkdir(exist_ok=True)
    source, target = folder / "texts.jsonl", folder / "scored.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in material.texts), encoding="utf-8")
    command = [sys.executable, "-m", "service.batch", str(source), str(target), "--overwrite", "--restart"]
    command += ["--precision", "auto"]
    environment = {
        **os.environ,
        "VAR_DIR": str(folder),
        "MODEL_URI": str(bundle),
        "THREADS": str(material.threads),
    }
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True)
    speed = re.search(r"speed\s+([\d,]+) rows/s", done.stderr)
    assert speed is not None, done.stderr
    return float(speed.group(1).replace(",", ""))


def _padding(url: str) -> float | None:
    """Padding among the computed tokens, from our metrics."""
    with urllib.request.urlopen(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    tokens = float(figures["champion_tokens_total"])
    padding = float(figures["champion_padding_tokens_total"])
    return padding / (tokens + padding) if tokens else None
