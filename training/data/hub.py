"""Rows of a data set on the Hugging Face hub, or of a local folder that `datasets` can load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stores.settings import VarSettings
from stores.telemetry import turn_telemetry_off
from training.data.config import DataConfig
from training.data.errors import SourceNotFound
from training.data.rows import Row, find_columns


def hub_rows(config: DataConfig, cache: Path | None = None) -> Iterator[Row]:
    """Rows of the data set called `config.source`, split after split; class numbers as their names.

    Args:
        config: names the data set, and its configuration and splits if need be.
        cache: where the prepared tables are kept; None: under `VAR_DIR`. The files as they were downloaded stay in
            the hub's own cache (`HF_HOME`), which models share.

    Raises:
        SourceNotFound: the hub does not answer, or has no such data set, configuration or split.
        ColumnNotFound: it lacks the columns.
    """
    turn_telemetry_off()
    from datasets import ClassLabel, load_dataset  # seconds to import

    folder = cache or VarSettings().folder("hub")
    try:
        found = load_dataset(config.source, config.hub_config, cache_dir=str(folder))
    except Exception as error:  # datasets, huggingface_hub, fsspec and HTTP clients each raise their own
        raise SourceNotFound(
            f"data.source {config.source!r} is neither packaged, nor a file, nor a data set that can be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    splits = config.hub_splits or tuple(sorted(found))
    number = 0
    for split in splits:
        if split not in found:
            raise SourceNotFound(f"{config.source} has no split {split!r}; it has {', '.join(sorted(found))}")
        data = found[split]
        columns = find_columns(data.column_names, config)
        feature = data.features[columns.label]
        for values in data.select_columns(list(dict.fromkeys((*columns.texts, columns.label)))):
            number += 1
            label = values[columns.label]
            if isinstance(feature, ClassLabel) and isinstance(label, int):
                # -1 is how the hub writes "not labelled".
                values[columns.label] = feature.int2str(label) if label >= 0 else None
            yield columns.row(number, values)
