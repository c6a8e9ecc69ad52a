"""Data types: labelled texts, the row counts of a source, and live texts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from classifier.reference import LIVE_ORIGIN
from training.data.rows import Columns

SOURCE, LIVE, EARLIER = "source", LIVE_ORIGIN, "earlier_live"
"""Where a text comes from: the experiment's own data, live traffic of today, live traffic from before it changed."""


class SourceRow(NamedTuple):
    """Which row of the source a text was read from."""

    number: int = 0
    """Position in the source, from 1, the header not counted; 0 where it is not known."""
    id: str = ""
    """What the source calls the row; empty where it has no column for it."""
    original: str | None = None
    """The text before `data.clean` took something out of it; None where nothing was."""


@dataclass(frozen=True)
class Part:
    """Texts and, in the same order, their labels, their origins and the rows that they come from."""

    texts: list[str]
    labels: list[str]
    origins: list[str] = field(default_factory=list)
    """Where each text comes from; given none, all come from the source."""
    source_rows: list[SourceRow] = field(default_factory=list, compare=False, repr=False)
    """Source row of each text; unknown if not given. Not part of the fingerprint."""

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"{len(self.texts)} texts, but {len(self.labels)} labels")
        if not self.origins:
            object.__setattr__(self, "origins", [SOURCE] * len(self.texts))
        if len(self.texts) != len(self.origins):
            raise ValueError(f"{len(self.texts)} texts, but {len(self.origins)} origins")
        if not self.source_rows:
            object.__setattr__(self, "source_rows", [SourceRow()] * len(self.texts))
        if len(self.texts) != len(self.source_rows):
            raise ValueError(f"{len(self.texts)} texts, but {len(self.source_rows)} source rows")

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return zip(self.texts, self.labels, strict=True)

    def __add__(self, other: Part) -> Part:
        return Part(
            self.texts + other.texts,
            self.labels + other.labels,
            self.origins + other.origins,
            self.source_rows + other.source_rows,
        )

    def rows(self, indices: Sequence[int]) -> Part:
        """The texts at `indices`, in that order."""
        return Part(
            [self.texts[index] for index in indices],
            [self.labels[index] for index in indices],
            [self.origins[index] for index in indices],
            [self.source_rows[index] for index in indices],
        )

    @property
    def originals(self) -> list[str]:
        """The texts as in the source, before `data.clean` took something out of them."""
        return [self.original(index) for index in range(len(self))]

    def original(self, index: int) -> str:
        """One text as in the source."""
        original = self.source_rows[index].original
        return self.texts[index] if original is None else original

    @property
    def live(self) -> list[int]:
        """Indices of the texts that come from live traffic."""
        return [index for index, origin in enumerate(self.origins) if origin != SOURCE]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over texts and labels in order, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for line in self._lines():
            digest.update(line.encode())
        return digest.hexdigest()

    def write_jsonl(self, path: Path) -> Path:
        """Write one `{"text": …, "label": …}` a line, with its `origin` where it is live; returns `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        live = set(self.live)
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for index, line in enumerate(self._lines()):
                row = json.loads(line) | {"origin": self.origins[index]} if index in live else None
                file.write(json.dumps(row) + "\n" if row else line)
        return path

    @classmethod
    def read_jsonl(cls, path: Path) -> Part:
        """Read what `write_jsonl` wrote."""
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        return cls(
            [row["text"] for row in rows],
            [row["label"] for row in rows],
            [row.get("origin", SOURCE) for row in rows],
        )

    def _lines(self) -> Iterator[str]:
        for text, label in self:
            # ASCII: a text may hold line separators of Unicode, or half a surrogate pair, that UTF-8 cannot write.
            yield json.dumps({"text": text, "label": label}) + "\n"


EXAMPLES = 5


@dataclass
class RowCounts:
    """Row counts of a source by outcome."""

    read: int = 0
    empty: int = 0
    """No text."""
    cleaned_away: int = 0
    """A text of which `data.clean` leaves nothing."""
    unlabelled: int = 0
    """A text, and no label, a word of `missing_labels` instead, or a number that is in no class of `label_bins`."""
    missing_labels: dict[str, int] = field(default_factory=dict)
    """Word of `missing_labels` → rows that have it, the most frequent first; among the unlabelled ones."""
    joined_labels: dict[str, dict[str, int]] = field(default_factory=dict)
    """Label → its spellings that were joined → rows; the label itself is one of them."""
    unreadable: int = 0
    """Wrong number of columns, broken JSON, or not in the encoding."""
    recoded: int = 0
    """Not UTF-8, read as Latin-1; used."""
    exact_duplicates: int = 0
    """The same text with the same label again; the first is kept."""
    conflicting_labels: int = 0
    """Copies of a text with different labels; none is kept."""
    left_out: int = 0
    """Usable, but beyond the limit."""
    small_classes: dict[str, int] = field(default_factory=dict)
    """Class that is too small for the split and was left out → its texts."""
    examples: dict[str, list[int]] = field(default_factory=dict)
    """Reason → numbers of the first few rows refused for it."""
    problems: dict[str, int] = field(default_factory=dict)
    """Why rows are unreadable → how many."""
    notes: list[str] = field(default_factory=list)
    """Sentences about how a file was read."""
    lines: dict[str, int] = field(default_factory=dict)
    """What the lines of a file are: lines = rows + refused + header + blank + continuation."""

    @property
    def refused(self) -> int:
        """Rows that cannot be used whatever the configuration."""
        return self.empty + self.cleaned_away + self.unlabelled + self.unreadable

    def reasons(self) -> str:
        """The refusals in words: `3 empty (rows 4, 9, 12), 1 unreadable (row 7)`."""
        said = []
        for reason in ("empty", "cleaned_away", "unlabelled", "unreadable"):
            if count := getattr(self, reason):
                numbers = self.examples[reason]
                shown = ", ".join(str(number) for number in numbers) + (", …" if count > len(numbers) else "")
                if reason == "unlabelled" and self.missing_labels:
                    missing = list(self.missing_labels.items())[:EXAMPLES]
                    shown += f"; {', '.join(f'{word!r} ×{rows}' for word, rows in missing)} among them"
                said.append(f"{count} {reason.replace('_', ' ')} ({'row' if count == 1 else 'rows'} {shown})")
        words = ", ".join(said)
        if self.problems:
            words += ". Unreadable: " + "; ".join(
                f"{what} ({count:,})" for what, count in self.problems.items()
            )
        return words


@dataclass
class LiveCounts:
    """Counts of live texts by outcome."""

    read: int = 0
    unusable: int = 0
    """No text, no label, or not readable."""
    unknown_label: int = 0
    """Labelled with what is no class of the source. A new class is for a person to add: to the source."""
    exact_duplicates: int = 0
    """Copies of another live text, or of a text of the source, with the same label."""
    conflicting_labels: int = 0
    """Copies with different labels; none is kept."""
    contradicted: int = 0
    """Texts of the source that have another label among the live texts; they are not used either."""
    over_the_cap: int = 0
    """Usable, but older than the `per_class` that are kept of their class."""
    cut: int = 0
    """Longer than what is read of a text (`stores.predictions.labelled.LIVE_CHARACTERS`)."""
    without_text: int = 0
    """Labelled predictions whose text was not stored (STORE_TEXT), or was deleted by the retention policy."""
    near_held_out: int = 0
    """Near copies of a held-out text of the source: learning from them would give it away."""


@dataclass(frozen=True)
class LiveTexts:
    """Usable live texts, newest first."""

    part: Part
    counts: LiveCounts = field(default_factory=LiveCounts)
    contradicted: frozenset[str] = frozenset()
    """Texts of the source that must not be used, white space made single."""
    held_out: Sequence[float] = ()
    """Of each text the multiple of the shares with which it is held out; given none, all are 1."""


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
    columns: Columns | None = None
    """Where text and label were taken from; None for the packaged source."""

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

    def without(self, labels: Collection[str]) -> LoadedData:
        """The data without the texts of these classes, which are counted in `small_classes`."""
        dropped = Counter(label for label in self.labels if label in labels)
        kept = [index for index, label in enumerate(self.labels) if label not in labels]
        counts = replace(self.counts, small_classes=self.counts.small_classes | dict(sorted(dropped.items())))
        return replace(self, part=self.part.rows(kept), counts=counts)
