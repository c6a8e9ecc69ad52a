"""The commands `queue export` and `queue import`: which texts to label next, and what people said of them."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from monitoring.champion import Champion, find_champion
from monitoring.choosing import choose
from monitoring.errors import BadLabels, MonitoringError
from monitoring.failures import failures_told
from monitoring.label import new_labels_option
from monitoring.label_files import ID, LABEL, LabelFile, give_labels, read_labels
from monitoring.settings import MonitoringSettings
from monitoring.times import iso, span
from stores.models import ModelRegistry
from stores.predictions import LabelledPrediction, PredictionStore
from stores.predictions.queue import Batch, Chosen, LabelQueue
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings

_COLUMNS = (ID, "text", "predicted", "score", "chosen_as", LABEL)
_MOST_READ = 5000
_TIMES_SIZE = 10


@click.group()
def queue() -> None:
    """Choose texts to be labelled, and take their labels."""


@queue.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, writable=True))
@click.option("--size", type=click.IntRange(1, 10_000), default=100, show_default=True, metavar="N")
@click.option("--window", metavar="DURATION", help="How far back. Default: MONITORING_WINDOW.")
@click.option("--since", metavar="TIME", help="First moment: ISO 8601, or seconds since 1970.")
@click.option("--until", metavar="TIME", help="End of the window. Default: now.")
@click.option("--seed", type=int, help="For a draw that can be repeated. Default: chance.")
def export_queue(
    file: Path, size: int, window: str | None, since: str | None, until: str | None, seed: int | None
) -> None:
    """Choose N live texts of the champion and write them to a CSV FILE with an empty column `label`.

    Uncertain ones, ones unlike the reference, and a random part of all. How likely each was to be chosen is kept, so
    that the accuracy which monitoring tells later is that of all traffic.
    """
    with failures_told("the export"):
        settings, tracking, signing = MonitoringSettings(), TrackingSettings(), SigningSettings()
        first, last = span(window or settings.monitoring_window, since, until, now=time.time())
        if file.exists():
            raise MonitoringError(f"{file} exists; labels in it would be lost. Name another file")
        champion = find_champion(ModelRegistry(tracking), tracking, signing)
        store = PredictionStore.open(PredictionSettings().url)
        try:
            batch, chosen, rows = draw(
                store, champion, first, last, size=size, rng=np.random.default_rng(seed)
            )
            shown = to_show(chosen, rows)
            LabelQueue(store).add(batch, chosen)  # first: while nobody labels it, it changes nothing
            write_queue(file, chosen, shown)
        finally:
            store.close()
    known = sum(rows[c.prediction_id].true_label is not None for c in chosen)
    repeated = len(chosen) - known - len(shown)
    click.echo(
        f"{len(shown)} texts are in {file}: fill its column {LABEL}, then `python -m monitoring queue import {file}`. "
        f"Chosen from {batch.predictions} predictions of {champion.title}, {iso(first)} to {iso(last)}"
        + (f"; {known} more that were chosen have a label already" if known else "")
        + (f"; {repeated} more repeat a text of the file and get its label" if repeated else "")
        + "."
    )


@queue.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@new_labels_option
def import_queue(file: Path, new_labels: bool) -> None:
    """Take the labels of an exported FILE: all that are filled in, or, where one is wrong, none.

    Rows without a label are left for later; the same file may be imported again.
    """
    with failures_told("the import"):
        found = read_labels(file)
        store = PredictionStore.open(PredictionSettings().url)
        try:
            copied = with_copies(LabelQueue(store), file, found)
            give_labels(store, file, copied, new_labels=new_labels, source="queue")
        finally:
            store.close()
    repeats = len(copied.labels) - len(found.labels)
    click.echo(
        f"{len(found.labels)} texts have their labels"
        + (f" ({repeats} more predictions with the same texts, too)" if repeats else "")
        + (f"; {len(found.empty)} have none yet" if found.empty else "")
        + "."
    )


def draw(
    store: PredictionStore,
    champion: Champion,
    since: float,
    until: float,
    *,
    size: int,
    rng: np.random.Generator,
) -> tuple[Batch, list[Chosen], dict[str, LabelledPrediction]]:
    """Choose from the champion's live predictions of a window, of which a bounded random sample is read.

    Returns:
        The batch, what was chosen, and the predictions that were read, by id. Nothing is written.

    Raises:
        MonitoringError: there is nothing to choose from.
    """
    name, version = champion.model.name, champion.model.version
    count = store.count_readable(since, until, model_name=name, model_version=version)
    most = max(_MOST_READ, _TIMES_SIZE * size)
    rows = store.sample(since, until, size=most, model_name=name, model_version=version)
    if not rows:
        raise MonitoringError(
            f"{champion.title} answered nothing from {iso(since)} to {iso(until)}: widen --window"
        )
    chosen = choose(
        rows, list(champion.reference["text"]), size, rng, read=min(1.0, len(rows) / max(count, 1))
    )
    return Batch(name, version, since, until, max(count, len(rows))), chosen, {row.id: row for row in rows}


def to_show(chosen: Sequence[Chosen], rows: dict[str, LabelledPrediction]) -> list[LabelledPrediction]:
    """Those of the chosen that somebody must look at: each text once, and none that has a label."""
    first: dict[str, LabelledPrediction] = {}
    for item in chosen:
        row = rows[item.prediction_id]
        if row.true_label is None:
            first.setdefault(row.text, row)
    return list(first.values())


def write_queue(file: Path, chosen: Sequence[Chosen], rows: Sequence[LabelledPrediction]) -> None:
    """Write the file that people fill in; UTF-8 with a mark, by which spreadsheets know it."""
    reasons = {item.prediction_id: item.reason for item in chosen}
    with file.open("x", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(_COLUMNS)
        for row in rows:
            writer.writerow([row.id, _harmless(row.text), row.label, f"{row.score:.3f}", reasons[row.id], ""])


def with_copies(chosen: LabelQueue, path: Path, found: LabelFile) -> LabelFile:
    """`found`, with the label of each text given to the chosen predictions that repeat it.

    Raises:
        BadLabels: a row is of a prediction that no queue chose.
    """
    copies = chosen.copies(list(found.labels))
    strangers = [found.rows[id_] for id_ in found.labels if id_ not in copies]
    if strangers:
        rows = ", ".join(map(str, strangers[:20])) + (" …" if len(strangers) > 20 else "")
        raise BadLabels(
            f"nothing of {path} was written: no queue chose the prediction of row {rows}. "
            f"`python -m monitoring label {path}` takes labels of any prediction"
        )
    labels, rows_of = dict(found.labels), dict(found.rows)
    for id_, label in found.labels.items():
        for copy in copies[id_]:
            labels.setdefault(copy, label)
            rows_of.setdefault(copy, found.rows[id_])
    return LabelFile(labels, rows_of, found.empty)


def _harmless(text: str) -> str:
    """A text that begins like a formula would be run by a spreadsheet; whoever sends requests chooses it."""
    return "'" + text if text.lstrip()[:1] in ("=", "+", "-", "@") else text
