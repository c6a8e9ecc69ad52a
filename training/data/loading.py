"""`load_data`: a source becomes usable texts with labels, and every row that is not usable is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from training.data.bbc import bbc_rows
from training.data.bins import binned
from training.data.config import PACKAGED, DataConfig
from training.data.duplicates import conflicting_copies, drop_exact
from training.data.errors import DataRefused
from training.data.files import file_rows, is_file_source
from training.data.hub import hub_rows
from training.data.live.config import LiveConfig
from training.data.live.reading import LiveTexts, choose_live, file_live_rows, from_store, stored_rows
from training.data.parts import Part
from training.data.quotas import subsample
from training.data.rows import Row

_EXAMPLES = 5


@dataclass
class RowCounts:
    """What became of the rows of a source."""

    read: int = 0
    empty: int = 0
    """No text."""
    unlabelled: int = 0
    """A text, and no label, or one that belongs to no class of `label_bins`."""
    unreadable: int = 0
    """Wrong number of columns, broken JSON, or not in the encoding."""
    recoded: int = 0
    """Not UTF-8, read as Latin-1; used."""
    exact_duplicates: int = 0
    """The same text with the same label again; the first is kept."""
    conflicting_labels: int = 0
    """Copies of a text that stands with different labels; none is kept."""
    left_out: int = 0
    """Usable, but beyond the limit."""
    examples: dict[str, list[int]] = field(default_factory=dict)
    """Reason → numbers of the first few rows refused for it."""

    @property
    def refused(self) -> int:
        """Rows that cannot be used whatever the configuration."""
        return self.empty + self.unlabelled + self.unreadable

    def reasons(self) -> str:
        """The refusals in words: `3 empty (rows 4, 9, 12), 1 unreadable (row 7)`."""
        said = []
        for reason in ("empty", "unlabelled", "unreadable"):
            if count := getattr(self, reason):
                numbers = self.examples[reason]
                shown = ", ".join(str(number) for number in numbers) + (", …" if count > len(numbers) else "")
                said.append(f"{count} {reason} ({'row' if count == 1 else 'rows'} {shown})")
        return ", ".join(said)


@dataclass(frozen=True)
class LoadedData:
    """Usable texts of a source, each once, in the order of the source."""

    source: str
    part: Part
    counts: RowCounts
    conflicts: dict[str, dict[str, int]] = field(default_factory=dict)
    """A few of the texts that were dropped because their copies have different labels → label → copies."""
    live: LiveTexts | None = None
    """Labelled live texts beside them; None: none were asked for."""

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return self.part.texts

    @property
    def labels(self) -> list[str]:
        """The label of each text."""
        return self.part.labels

    def __len__(self) -> int:
        return len(self.part)


def load_data(config: DataConfig, seed: int, *, cache: Path | None = None) -> LoadedData:
    """Read a source, refuse it if too much of it is unusable, and drop exact duplicates and conflicting labels.

    Args:
        config: the source and its columns.
        seed: decides which texts stay when `config.limit` is set; nothing else here is left to chance.
        cache: where downloads from the hub are kept; None: under `VAR_DIR`.

    Raises:
        SourceNotFound, ColumnNotFound: it cannot be read.
        DataRefused: too many unusable rows, or fewer than two labels.
        PredictionStoreError: live texts are asked for, and the prediction store cannot be read.
    """
    counts = RowCounts()
    usable = list(_usable(_rows(config, cache), config, counts))
    if counts.read == 0:
        raise DataRefused(f"{config.source} has no rows")
    if counts.refused > config.max_refused * counts.read:
        raise DataRefused(
            f"{config.source}: {counts.refused} of {counts.read} rows are unusable, more than data.max_refused="
            f"{config.max_refused:g} allows: {counts.reasons()}"
        )
    part, counts.exact_duplicates, counts.conflicting_labels = drop_exact(usable)
    labels = sorted(set(part.labels))
    if len(labels) < 2:
        found = f"one label only, {labels[0]!r}" if labels else "no text with a label that can be used"
        raise DataRefused(f"{config.source} has {found}: a classifier needs two labels or more")
    if config.limit is not None and config.limit < len(part):
        kept = subsample(part.labels, config.limit, seed)
        counts.left_out = len(part) - len(kept)
        part = part.rows(kept)
    live = _live(config.live, config, part) if config.live else None
    return LoadedData(config.source, part, counts, conflicting_copies(usable, config.checks.examples), live)


def _live(live: LiveConfig, config: DataConfig, source: Part) -> LiveTexts:
    if from_store(live):
        rows = stored_rows(live)
        read = len(rows)
    else:
        rows, read = file_live_rows(file_rows(DataConfig(source=live.source, encoding=config.encoding)))
    return choose_live(rows, source, live.per_class, read)


def read_texts(config: DataConfig, *, cache: Path | None = None) -> list[str]:
    """The texts of a source, whatever their labels; empty and unreadable rows are left out.

    Raises:
        SourceNotFound, ColumnNotFound: it cannot be read.
    """
    if config.label_column is None and config.text_columns:
        # Texts that nobody labelled need no column of labels.
        config = config.model_copy(update={"label_column": config.text_columns[0]})
    texts = (row.text.strip() for row in _rows(config, cache) if not row.unreadable)
    return [text for text in texts if text]


def _rows(config: DataConfig, cache: Path | None) -> Iterable[Row]:
    if config.source == PACKAGED:
        return bbc_rows()
    if is_file_source(config.source):
        return file_rows(config)
    return hub_rows(config, cache)


def _usable(rows: Iterable[Row], config: DataConfig, counts: RowCounts) -> Iterator[tuple[str, str]]:
    for row in rows:
        counts.read += 1
        text, label = row.text.strip(), row.label.strip()
        if config.label_bins:
            label = binned(label, config.label_bins) or ""
        if row.unreadable:
            reason = "unreadable"
        elif not text:
            reason = "empty"
        elif not label:
            reason = "unlabelled"
        else:
            counts.recoded += row.recoded
            yield text, config.label_names.get(label, label)
            continue
        setattr(counts, reason, getattr(counts, reason) + 1)
        examples = counts.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(row.number)
