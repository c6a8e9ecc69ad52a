"""Data to learn from: a source becomes texts with labels, divided into parts that do not leak into one another.

The story in file names: `config` says what is wanted; `bbc`, `files` and `hub` read `rows`; `loading` counts what is
unusable; `duplicates` finds copies; `splitting` shares out by `quotas`; `parts`, `report` and `pictures` are what comes
of it.

Usage::

    config = DataConfig(source="tickets.csv")
    splits = split_data(load_data(config, seed=42), config, seed=42)
    splits.train.texts, splits.labels
    rich.print(splits.report)
"""

from training.data.config import DataConfig, SplitConfig
from training.data.errors import ClassTooSmall, ColumnNotFound, DataError, DataRefused, SourceNotFound
from training.data.loading import LoadedData, RowCounts, load_data
from training.data.parts import Part, Splits
from training.data.pictures import write_data_pictures
from training.data.report import DataReport
from training.data.splitting import split_data

__all__ = [
    "ClassTooSmall",
    "ColumnNotFound",
    "DataConfig",
    "DataError",
    "DataRefused",
    "DataReport",
    "LoadedData",
    "Part",
    "RowCounts",
    "SourceNotFound",
    "SplitConfig",
    "Splits",
    "load_data",
    "split_data",
    "write_data_pictures",
]
