"""The command `label`."""

from __future__ import annotations

from pathlib import Path

import click

from monitoring.commands.failures import exit_on_failure
from monitoring.errors import BadLabels
from monitoring.labels.files import ID, LABEL, give_labels, read_labels, table_options
from stores.predictions import PredictionStore
from stores.settings import PredictionSettings
from stores.tabular import TableOptions

new_labels_option = click.option(
    "--new-labels",
    is_flag=True,
    help="Take labels that the model does not know, too; its answers there were wrong.",
)


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--id-column", default=ID, show_default=True, help="Column of the prediction's id.")
@click.option("--label-column", default=LABEL, show_default=True, help="Column of the true label.")
@new_labels_option
@table_options
def label(
    file: Path,
    id_column: str,
    label_column: str,
    new_labels: bool,
    encoding: str,
    delimiter: str | None,
    quote: str,
) -> None:
    """Give predictions their true labels from a FILE: all of its rows, or none.

    Read are CSV, TSV, JSON lines and Parquet, by suffix or by content.

    A label replaces the one that was there; both stay in the history.
    """
    with exit_on_failure("the labelling"):
        options = TableOptions(delimiter, quote, encoding)
        found = read_labels(file, id_column=id_column, label_column=label_column, options=options)
        if found.empty:
            rows = ", ".join(map(str, found.empty[:20])) + (" …" if len(found.empty) > 20 else "")
            raise BadLabels(f"nothing of {file} was written: no label in row {rows}")
        store = PredictionStore.open(PredictionSettings())
        try:
            count = give_labels(store, file, found, new_labels=new_labels)
        finally:
            store.close()
    click.echo(f"{count} predictions have the labels of {file}")
