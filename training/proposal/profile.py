"""What is in a file: rows, classes, lengths, languages, spellings of labels, copies."""

from __future__ import annotations

import codecs
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from tokenizers import Tokenizer

from stores.tabular import TableOptions
from stores.tabular.encoding import likely_encoding
from stores.tabular.lines import TextFile
from training.config.data import ChecksConfig
from training.data import DataConfig, LoadedData, load_data
from training.data.checks import UNSPACED, UNSURE, languages
from training.data.deduplication import near_duplicate_groups
from training.data.labels import LabelVariants, kind_of_labels, label_variants
from training.data.loading import open_source
from training.errors import DataRefused, SourceNotFound
from training.models.weights import weights_source
from training.proposal.columns import ChosenColumns, choose_columns, column_contents, other_texts
from training.proposal.plan import MINILM, Figures

_SEED = 42
_SAMPLE = 5_000
"""Texts whose tokens and languages are looked at."""
_LANGUAGE_CHARACTERS = 400
"""Characters that make one sample of the language: single texts may be too short to tell."""
_LANGUAGE_SAMPLES = 60
_SHOWN_CLASSES = 30
_ENCODING_BYTES, _ENCODING_CHUNKS = 1024 * 1024, 256
_ALMOST_ALL = 0.99
_STEP = 0.05


@dataclass(frozen=True)
class Profile:
    """What was found in a file."""

    data: DataConfig
    """How it is read; the split is not chosen yet."""
    columns: ChosenColumns
    loaded: LoadedData
    figures: Figures
    languages: dict[str, int]
    """Language → samples of about 400 characters."""
    variants: list[LabelVariants]
    near_copies: int
    """Texts that are near copies of another one."""
    other_texts: list[str] = field(default_factory=list)
    """The columns of the text with further ones that hold free text; empty where there are none."""
    notes: list[str] = field(default_factory=list)
    """What the reader of the file noted."""

    @cached_property
    def words(self) -> list[int]:
        """Words of each text."""
        return [len(text.split()) for text in self.loaded.texts]

    @cached_property
    def characters(self) -> list[int]:
        """Characters of each text."""
        return [len(text) for text in self.loaded.texts]

    def __rich__(self) -> Group:
        return Group(
            f"[bold]{escape(self.data.source)}[/]",
            self._rows(),
            f"[bold]Classes in {escape(repr(self.columns.label))}[/]",
            self._classes(),
            *self._sentences(),
        )

    def _rows(self) -> Table:
        counts = self.loaded.counts
        table = _table("", "rows")
        table.add_row("read", f"{counts.read:,}")
        for name, count in (
            ("without a text", counts.empty),
            ("without a label", counts.unlabelled),
            ("unreadable", counts.unreadable),
            ("copies of a text with the same label", counts.exact_duplicates),
            ("copies of a text with different labels, none used", counts.conflicting_labels),
            ("in classes too small to learn", sum(counts.small_classes.values())),
        ):
            if count:
                table.add_row(name, f"{count:,}")
        table.add_row("usable", f"{len(self.loaded):,}", style="bold")
        return table

    def _classes(self) -> Table:
        ranked = Counter(self.figures.classes).most_common()
        table = _table("class", "texts", "share")
        total = len(self.loaded)
        # The largest and the smallest: of many classes those in between tell least.
        half = _SHOWN_CLASSES // 3
        first, last = (ranked, []) if len(ranked) <= _SHOWN_CLASSES else (ranked[:half], ranked[-half:])
        for label, count in first:
            table.add_row(escape(label), f"{count:,}", f"{count / total:.1%}")
        if last:
            table.add_row(f"… {len(ranked) - 2 * half} more", "", "")
        for label, count in last:
            table.add_row(escape(label), f"{count:,}", f"{count / total:.1%}")
        return table

    def _sentences(self) -> list[str]:
        # Scripts without blanks have no words to count.
        unit, counted = (
            ("words", self.words) if self.figures.unspaced < 0.3 else ("characters", self.characters)
        )
        low, median, high = np.quantile(counted, [0.05, 0.5, 0.95])
        tokens = self.figures.tokens
        texts = " and ".join(repr(name) for name in self.columns.texts)
        said = [
            f"Columns: text {texts}, label {self.columns.label!r} ({self.columns.reason}){self._other_columns()}.",
            f"Lengths: {median:,.0f} {unit} in the median, nine of ten {low:,.0f} to {high:,.0f}; {tokens[0]:,.0f} "
            f"tokens of MiniLM in the median, 95 % at most {tokens[1]:,.0f}.",
            f"Language: {self._language()}.",
        ]
        if refused := self.loaded.counts.reasons():
            said.append(f"Rows that cannot be used: {refused}.")
        if self.near_copies:
            said.append(
                f"Near copies: {self.near_copies:,} texts resemble another one; they are learned, not held out."
            )
        if self.variants:
            shown = "; ".join(str(variant) for variant in self.variants[:5])
            said.append(f"Label variants: {shown}.")
        said += self.notes
        return [escape(sentence) for sentence in said]

    def _other_columns(self) -> str:
        others = ", ".join(repr(name) for name in self.columns.other_labels)
        return f"; {others} has a usual name for a label, too, and is not used" if others else ""

    def _language(self) -> str:
        clear = {code: count for code, count in self.languages.items() if code != UNSURE}
        if not clear:
            return "none is clear"
        total = sum(self.languages.values())
        return ", ".join(f"{code} ({count / total:.0%})" for code, count in list(clear.items())[:4])


def read_profile(data: DataConfig, texts: Sequence[str] = (), label: str | None = None) -> Profile:
    """Look at the file `data.source`.

    A file that is not UTF-8, whose encoding is not given, is read in the one that is likely, and a note says so.

    Args:
        data: how the file is to be read.
        texts: columns of the text; none: they are found.
        label: column of the label; None: it is found.

    Raises:
        TableError, DataError: it cannot be read, its columns are ambiguous, or it has too few texts.
    """
    try:
        return _read(data, texts, label)
    except (SourceNotFound, DataRefused):
        given = "encoding" in data.model_fields_set
        if given or (encoding := _likely_encoding(Path(data.source))) is None:
            raise
    profile = _read(data.model_copy(update={"encoding": encoding}), texts, label)
    note = f"The file is not UTF-8 and is read as {encoding}, a guess: look whether its letters with accents are right."
    return replace(profile, notes=[note, *profile.notes])


def _likely_encoding(path: Path) -> str | None:
    """The likely encoding of a text file that is not UTF-8; None where it is, or is no text."""
    if not path.is_file() or path.suffix.lower() in (".parquet", ".pq"):
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    with TextFile(path, TableOptions()).open_raw() as (_, stream):
        for _ in range(_ENCODING_CHUNKS):
            chunk = stream.read(_ENCODING_BYTES)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError:
                return likely_encoding(chunk)
            if not chunk:
                break
    return None


def _read(data: DataConfig, texts: Sequence[str], label: str | None) -> Profile:
    table = open_source(data)
    columns = choose_columns(table, texts, label, header=data.header and data.column_names is None)
    data = data.model_copy(update={"text_column": _one_or_all(columns.texts), "label_column": columns.label})
    data, loaded = _loaded(data)
    counts = Counter(loaded.labels)
    groups = near_duplicate_groups(loaded.texts, data.near_duplicate_similarity)
    copies = {index for group in groups for index in group}
    single = Counter(label for index, label in enumerate(loaded.labels) if index not in copies)
    sample = _sample(loaded.texts, _SAMPLE)
    found = _languages(sample)
    return Profile(
        data=data,
        columns=columns,
        loaded=loaded,
        figures=_figures(sample, counts, single, found, loaded.texts),
        languages=found,
        variants=label_variants(loaded.labels),
        near_copies=len(copies),
        other_texts=other_texts(column_contents(table), columns) if not texts else [],
        notes=table.notes(),
    )


def _loaded(data: DataConfig) -> tuple[DataConfig, LoadedData]:
    """The usable texts, and `data` with what reading them needed.

    Rows without a label are usual in a file that is still being labelled, so any share of them is accepted, and
    numbers become classes.
    """
    loaded = load_data(data.model_copy(update={"max_unlabelled": _ALMOST_ALL}), _SEED)
    kind = kind_of_labels(set(loaded.labels))
    if kind == "dates":
        raise DataRefused(f"the column {data.label_column!r} holds dates: name another with --label-column")
    if kind == "numbers":
        data = data.model_copy(update={"label_bins": number_bins([float(label) for label in loaded.labels])})
        loaded = load_data(data.model_copy(update={"max_unlabelled": _ALMOST_ALL}), _SEED)
    unlabelled = loaded.counts.unlabelled / loaded.counts.read
    if unlabelled > data.max_unlabelled:
        limit = min(_ALMOST_ALL, round((int(unlabelled / _STEP) + 1) * _STEP, 2))
        data = data.model_copy(update={"max_unlabelled": limit})
    return data, loaded


def number_bins(values: Sequence[float]) -> dict[str, float | None]:
    """Three classes of numbers: by sign where there are both, else three equal parts."""
    low, high = min(values), max(values)
    if low < 0 < high:
        bound = float(f"{max(-low, high) / 8:.1g}")
        return {"negative": -bound, "neutral": bound, "positive": None}
    first, second = (float(f"{value:.4g}") for value in np.quantile(values, [1 / 3, 2 / 3]))
    return {"low": first, "middle": second, "high": None} if first < second else {"low": first, "high": None}


def _figures(
    sample: list[str], classes: Counter[str], single: Counter[str], found: dict[str, int], texts: list[str]
) -> Figures:
    tokenizer = Tokenizer.from_file(str(Path(weights_source(MINILM)) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoded: list[Any] = tokenizer.encode_batch_fast(sample)
    unknown = tokenizer.token_to_id("[UNK]")
    lengths = [len(item.ids) for item in encoded]
    letters = [character for text in sample[:500] for character in text if character.isalpha()]
    code = next(iter(found), None)
    return Figures(
        classes=dict(classes),
        single={label: single[label] for label in classes},
        median_words=float(np.median([len(text.split()) for text in texts])),
        tokens=(float(np.median(lengths)), float(np.quantile(lengths, 0.95))),
        unknown_tokens=sum(item.ids.count(unknown) for item in encoded) / max(1, sum(lengths)),
        language=None if code == UNSURE else code,
        unspaced=sum(bool(UNSPACED.match(letter)) for letter in letters) / max(1, len(letters)),
    )


def _languages(sample: Sequence[str]) -> dict[str, int]:
    """Languages of the texts, joined until there are enough characters to tell by."""
    pieces, piece = [], ""
    for text in sample:
        piece += " " + text[:_LANGUAGE_CHARACTERS]
        if len(piece) >= _LANGUAGE_CHARACTERS:
            pieces.append(piece)
            piece = ""
        if len(pieces) == _LANGUAGE_SAMPLES:
            break
    else:
        pieces.append(piece)
    return languages(pieces, ChecksConfig())[1]


def _sample(texts: list[str], most: int) -> list[str]:
    return texts if len(texts) <= most else random.Random(_SEED).sample(texts, most)


def _one_or_all(columns: tuple[str, ...]) -> str | tuple[str, ...]:
    return columns[0] if len(columns) == 1 else columns


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True)
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position == 0 else "right", overflow="fold")
    return table
