"""`python -m demo`: train, register, serve, watch, retrain: once round the circle, by the commands of a user."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from demo.client import classify, send, served_model, version_after
from demo.processes import StepFailed, run, service
from demo.retraining import retraining_settings
from demo.traffic import Labelled, drifted, read_texts
from stores.settings import VarSettings, private_umask

console = Console()
HEADLINE = "Shares in London fell sharply after the central bank raised interest rates again."
_OUTCOMES = {0: "quiet", 1: "alarm"}
_LEARNED_FROM = 0.7
"""Share of the drifted articles that come before the retraining; the others show what it was good for."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What came of one kind of traffic."""

    name: str
    version: str
    """Of the model that answered."""
    texts: int
    accuracy: float
    status: int
    verdict: dict[str, Any]
    report: Path


@click.command()
@click.option("--experiment", default="quickstart", show_default=True, help="The experiment to train.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Passed on to `training run`.")
def main(experiment: str, overrides: tuple[str, ...]) -> None:
    """Train and compare candidates, serve the champion, watch it on normal and on drifted traffic, and retrain."""
    started = time.monotonic()
    private_umask()
    folder = VarSettings().folder("demo", datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
    try:
        watched, card, answer = _circle(folder, experiment, overrides)
    except StepFailed as error:
        console.print(f"[bold red]The demo stopped:[/] {error}")
        sys.exit(1)
    _summary(watched, card, answer, seconds=time.monotonic() - started)
    unexpected = [item for item, status in zip(watched, (0, 1, 0), strict=False) if item.status != status]
    for item in unexpected:
        console.print(f"[bold red]Unexpected:[/] monitoring was {_OUTCOMES[item.status]} on {item.name}.")
    sys.exit(1 if unexpected else 0)


def _circle(
    folder: Path, experiment: str, overrides: tuple[str, ...]
) -> tuple[list[Watched], dict[str, Any], dict[str, Any]]:
    settings = [argument for override in overrides for argument in ("--set", override)]
    # A prediction store of its own: the demo's drifted traffic must not stand in the user's window.
    environment = {"PREDICTIONS_URL": f"sqlite:///{folder.absolute() / 'predictions.db'}"}

    console.rule("[bold]1  Train, compare, register")
    run(["-m", "training", "run", experiment, *settings], environment)
    unseen = folder / "unseen.jsonl"
    run(
        ["-m", "training", "data", experiment, *settings, "--part", "holdout", "--out", str(unseen)],
        environment,
    )
    normal = read_texts(unseen)

    console.rule("[bold]2  Serve the champion")
    with service(environment, folder / "service.log") as address:
        first = classify(address, [HEADLINE], source="demo")
        model, answer = first["model"], first["predictions"][0]
        curl = f'curl -s {address}/classify --json \'{{"text": "{HEADLINE}"}}\''
        console.print(curl, highlight=False, soft_wrap=True)  # whole, to be copied
        console.print_json(data={"model": model, "predictions": [answer]})
        card = served_model(address)
        console.print(_figures(card))

        console.rule("[bold]3  Watch it: news as it was trained for")
        watched = [_watch(address, normal, "normal traffic", model["version"], environment, folder)]
        console.rule(
            "[bold]4  The same news through a scanner that reads e as c, a as o and l as 1: alarm, and retraining"
        )
        changed = drifted(normal, seed=7)
        cut = round(_LEARNED_FROM * len(changed))
        retraining = environment | retraining_settings(experiment)
        watched.append(
            _watch(
                address, changed[:cut], "drifted traffic", model["version"], retraining, folder, retrain=True
            )
        )
        console.rule("[bold]5  The same kind of traffic, afterwards")
        version = version_after(address, model["version"])
        if version == model["version"]:
            console.print(
                f"Version {version} still answers (why stands above), so there is nothing to compare or to undo."
            )
            return watched, card, answer
        console.print(f"The service has swapped to version {version} by itself.")
        watched.append(_watch(address, changed[cut:], "drifted traffic, later", version, environment, folder))
    console.rule("[bold]6  Undo it, for the scanner was made up")
    run(["-m", "training", "rollback"], environment)
    return watched, card, answer


def _figures(card: dict[str, Any]) -> str:
    """Quality, speed and, of a cascade, the share answered early, of the model that `/model` describes."""
    metrics = card["metrics"]
    said = (
        f"{card['candidate']}: macro-F1 [bold]{metrics['test_macro_f1']:.3f}[/] "
        f"({metrics['test_macro_f1_low']:.3f} to {metrics['test_macro_f1_high']:.3f}) on the test part, "
        f"[bold]{metrics['texts_per_second']:,.0f}[/] texts a second in batches in one process"
    )
    if card["cascade"]:
        early = " and ".join(card["cascade"]["stages"][:-1])
        said += f"; {early} answers [bold]{metrics['test_share_early']:.0%}[/] of the texts without the last stage"
    return said + "."


def _watch(
    address: str,
    traffic: list[Labelled],
    name: str,
    version: str,
    environment: dict[str, str],
    folder: Path,
    *,
    retrain: bool = False,
) -> Watched:
    """Send traffic, say for every second article what was true (for all to retrain), and check that window."""
    since = _now()
    accuracy = send(
        address, traffic, label_every=1 if retrain else 2, title=f"{len(traffic)} articles, {name}"
    )
    output = folder / name.replace(",", "").replace(" ", "-")
    window = ["--since", since, "--until", _now(), "--output", str(output)]
    status = run(
        ["-m", "monitoring", "check", *window, *(("--on-breach", "retrain") if retrain else ())],
        environment,
        expected=(0, 1),
    )
    verdict = json.loads((output / "verdict.json").read_text(encoding="utf-8"))
    return Watched(name, version, len(traffic), accuracy, status, verdict, output / "report.html")


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _summary(watched: list[Watched], card: dict[str, Any], answer: dict[str, Any], *, seconds: float) -> None:
    console.rule("[bold]What happened")
    console.print(
        f"The champion, [bold]{card['name']} version {card['version']}[/], was trained, registered and served. "
        f"It takes the headline above for [bold]{answer['label']}[/] ({answer['score']:.0%}).\n{_figures(card)}"
    )
    table = Table(title="The champion, watched")
    for heading in ("traffic", "version", "articles", "accuracy", "monitoring", "why"):
        table.add_column(heading, overflow="fold")
    for item in watched:
        table.add_row(
            item.name,
            item.version,
            str(item.texts),
            f"{item.accuracy:.1%}",
            _OUTCOMES[item.status],
            str(item.verdict.get("summary", "")),
        )
    console.print(table)
    var = VarSettings().root
    console.print("Open these:")
    for what, path in (
        *((f"report, {item.name}", item.report) for item in watched),
        ("pictures of the training", _newest(var / "reports")),
    ):
        console.print(f"  {what:<32}{path}", highlight=False, soft_wrap=True)
    console.print(
        f"\n{seconds / 60:.1f} minutes. Next: [bold]make serve[/] and open http://127.0.0.1:3000/ui, "
        "or [bold]make ui[/] for every run in MLflow."
    )


def _newest(folder: Path) -> Path:
    """The newest entry of a folder, or the folder itself when there is none."""
    return max(folder.glob("*"), key=lambda path: path.stat().st_mtime, default=folder)


if __name__ == "__main__":
    main()
