"""Data loading and splitting: a source becomes labelled texts, divided into parts without leaks between them.

Usage::

    config = DataConfig(source="tickets.csv")
    splits = split_data(load_data(config, seed=42), config, seed=42)
    splits.train.texts, splits.labels
    rich.print(splits.report)
"""

from training.config.data import DataConfig, SplitConfig
from training.data.dataset import LoadedData, Part, RowCounts, SourceRow
from training.data.labels import LabelVariants, label_variants
from training.data.loading import load_data
from training.data.split import split_data
from training.data.splits import DataReport, Splits
from training.errors import (
    ClassTooSmall,
    ColumnAmbiguous,
    ColumnNotFound,
    DataError,
    DataRefused,
    NotOneValue,
    SourceNotFound,
)

__all__ = [
    "ClassTooSmall",
    "ColumnAmbiguous",
    "ColumnNotFound",
    "DataConfig",
    "DataError",
    "DataRefused",
    "DataReport",
    "LabelVariants",
    "LoadedData",
    "NotOneValue",
    "Part",
    "RowCounts",
    "SourceNotFound",
    "SourceRow",
    "SplitConfig",
    "Splits",
    "label_variants",
    "load_data",
    "split_data",
]
