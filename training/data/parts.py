"""`Part`: texts with their labels; `Splits`: the parts of a data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.reference import LIVE_ORIGIN

if TYPE_CHECKING:
    from training.data.report import DataReport


SOURCE, LIVE, EARLIER = "source", LIVE_ORIGIN, "earlier_live"
"""Where a text comes from: the experiment's own data, live traffic of today, live traffic from before it changed."""


@dataclass(frozen=True)
class Part:
    """Texts and, in the same order, their labels and origins."""

    texts: list[str]
    labels: list[str]
    origins: list[str] = field(default_factory=list)
    """Where each text comes from; given none, all come from the source."""

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"{len(self.texts)} texts, but {len(self.labels)} labels")
        if not self.origins:
            object.__setattr__(self, "origins", [SOURCE] * len(self.texts))
        if len(self.texts) != len(self.origins):
            raise ValueError(f"{len(self.texts)} texts, but {len(self.origins)} origins")

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return zip(self.texts, self.labels, strict=True)

    def __add__(self, other: Part) -> Part:
        return Part(self.texts + other.texts, self.labels + other.labels, self.origins + other.origins)

    def rows(self, indices: Sequence[int]) -> Part:
        """The texts at `indices`, in that order."""
        return Part(
            [self.texts[index] for index in indices],
            [self.labels[index] for index in indices],
            [self.origins[index] for index in indices],
        )

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


@dataclass(frozen=True)
class Splits:
    """A data set divided; no text, nor a near copy of one, stands in two parts."""

    train: Part
    validation: Part
    test: Part
    reserve: Part
    report: DataReport
    unlabelled: tuple[str, ...] = ()
    """Texts whose labels were dropped when the data were divided; near copies of none that is held out."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, sorted; each occurs in each part that is not empty."""
        return tuple(sorted(set(self.train.labels)))

    def parts(self) -> dict[str, Part]:
        """Name → part, in the order train, validation, test, reserve."""
        return {
            "train": self.train, "validation": self.validation, "test": self.test, "reserve": self.reserve,
        }  # fmt: skip

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of all parts, and the unlabelled texts if there are any."""
        digest = hashlib.sha256("".join(part.fingerprint for part in self.parts().values()).encode())
        for text in self.unlabelled:
            digest.update(json.dumps(text).encode())
        return digest.hexdigest()
