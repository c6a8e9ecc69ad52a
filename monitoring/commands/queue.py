"""The commands `queue export` and `queue import`."""

from __future__ import annotations

import csv
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import click
import numpy as np

from monitoring.champion import MonitoredModel, find_champion, without_erased
from monitoring.commands.failures import exit_on_failure
from monitoring.commands.label import new_labels_option
from monitoring.errors import BadLabels, MonitoringError
from monitoring.labels.active_learning import choose
from monitoring.labels.files import ID, LABEL, LabelFile, give_labels, read_labels, table_options
from monitoring.settings import MonitoringSettings
from monitoring.times import iso, span
from stores.predictions import LabelledPrediction, PredictionStore
from stores.predictions.queue import Batch, Chosen, LabelQueue
from stores.predictions.texts import MEASURED_CHARACTERS
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings
from stores.sources import QUEUE, TRAFFIC
from stores.tabular import TableOptions
from stores.tabular.spreadsheets import spreadsheet_safe

_COLUMNS = (ID, "text", "predicted", "score", "chosen_as", LABEL)
_MOST_READ = 5000
_TIMES_SIZE = 10


@click.group()
def queue() -> None:
    """Choose texts to label, and import their labels."""


@queue.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, writable=True))
@click.option("--size", type=click.IntRange(1, 10_000), default=100, show_default=True, metavar="N")
@click.option("--window", metavar="DURATION", help="How far back. Default: MONITORING_WINDOW.")
@click.option("--since", metavar="TIME", help="First moment: ISO 8601, or seconds since 1970.")
@click.option("--until", metavar="TIME", help="End of the window. Default: now.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="For a draw that can be repeated. Default: chance."
)
def export_queue(
    file: Path, size: int, window: str | None, since: str | None, until: str | None, seed: int | None
) -> None:
    """Choose N live texts of the champion and write them to a CSV FILE with an empty column `label`.

    Uncertain ones, ones unlike the reference, and a random part of all. How likely each was to be chosen is kept, so
    that the accuracy which monitoring tells later is that of all traffic.
    """
    with exit_on_failure("the export"):
        settings, tracking, signing = MonitoringSettings(), TrackingSettings(), SigningSettings()
        first, last = span(window or settings.monitoring_window, since, until, now=time.time())
        if file.exists():
            raise MonitoringError(f"{file} exists; labels in it would be lost. Name another file")
        champion = find_champion(ModelRegistry(tracking), tracking, signing)
        store = PredictionStore.open(PredictionSettings())
        try:
            batch, chosen, rows = draw(
                store,
                champion,
                first,
                last,
                size=size,
                rng=np.random.default_rng(seed),
                sources=settings.sources,
            )
            shown = to_show(chosen, rows)
            LabelQueue(store).add(batch, chosen)  # first: a batch without labels has no effect
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
        + _why_fewer(list(rows.values()), size, len(shown))
    )


def _why_fewer(rows: Sequence[LabelledPrediction], size: int, shown: int) -> str:
    """A sentence on why there are fewer texts than were asked for; empty where there are as many."""
    if shown >= size:
        return ""
    texts = {row.text for row in rows}
    labelled = {row.text for row in rows if row.true_label is not None}
    return (
        f" These are fewer than {size}, and all there are: the {len(rows)} predictions are of {len(texts)} different "
        f"texts, {len(labelled)} of which have a label. A longer --window has more."
    )


@queue.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@new_labels_option
@table_options
def import_queue(file: Path, new_labels: bool, encoding: str, delimiter: str | None, quote: str) -> None:
    """Take the labels of an exported FILE: all that are filled in, or, where one is wrong, none.

    Rows without a label are left for later; the same file may be imported again.
    """
    with exit_on_failure("the import"):
        found = read_labels(file, options=TableOptions(delimiter, quote, encoding))
        store = PredictionStore.open(PredictionSettings())
        try:
            copied = with_copies(LabelQueue(store), file, found)
            give_labels(store, file, copied, new_labels=new_labels, source=QUEUE)
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
    champion: MonitoredModel,
    since: float,
    until: float,
    *,
    size: int,
    rng: np.random.Generator,
    sources: Collection[str] = TRAFFIC,
) -> tuple[Batch, list[Chosen], dict[str, LabelledPrediction]]:
    """Choose from the champion's predictions from `sources` in a window, of which a bounded random sample is read.

    Returns:
        The batch, what was chosen, and the predictions that were read, by id. Nothing is written.

    Raises:
        MonitoringError: there is nothing to choose from.
    """
    champion = without_erased(champion, store)
    name, version = champion.model.name, champion.model.version
    count = store.count_readable(since, until, model_name=name, model_version=version, sources=sources)
    most = max(_MOST_READ, _TIMES_SIZE * size)
    rows = store.sample(since, until, size=most, model_name=name, model_version=version, sources=sources)
    if not rows and (
        unreadable := store.count(since, until, model_name=name, model_version=version, sources=sources)
    ):
        raise MonitoringError(
            f"the texts of all {unreadable} predictions of {champion.title} from {iso(since)} to {iso(until)} are not "
            "stored (STORE_TEXT), or gone by the retention policy: they cannot be labelled"
        )
    if not rows:
        raise MonitoringError(
            f"{champion.title} answered nothing from {iso(since)} to {iso(until)}: widen --window"
        )
    chosen = choose(
        rows,
        list(champion.reference["text"].str.slice(0, MEASURED_CHARACTERS)),
        size,
        rng,
        read=min(1.0, len(rows) / max(count, 1)),
    )
    return Batch(name, version, since, until, max(count, len(rows))), chosen, {row.id: row for row in rows}


def to_show(chosen: Sequence[Chosen], rows: dict[str, LabelledPrediction]) -> list[LabelledPrediction]:
    """The chosen predictions that need a label: each text once."""
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
            writer.writerow(
                [
                    row.id, spreadsheet_safe(row.text), spreadsheet_safe(row.label), f"{row.score:.3f}",
                    reasons[row.id], "",
                ]
            )  # fmt: skip


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
