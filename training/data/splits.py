"""`Splits`: the parts of a data set, and `DataReport`: the figures of a data set and its split."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from training.data.dataset import Part

if TYPE_CHECKING:
    from classifier.cleaning import TextCleaning
    from training.data.dataset import LiveCounts, LoadedData, RowCounts
    from training.data.rows import Columns

QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


@dataclass(frozen=True)
class DataReport:
    """Figures of one data set and its split. Print it with rich, or take `as_dict` for a JSON file."""

    source: str
    rows: RowCounts
    near_duplicate_groups: int
    near_duplicates: int
    """Texts in those groups; none is held out: they are in train, or unlabelled where there is such a share."""
    unused: int
    """Texts that the shares of the split leave over."""
    balance: dict[str, dict[str, int]]
    """Part → label → texts."""
    lengths: dict[str, tuple[int, ...]]
    """Part → words of each text, in the order of the part."""
    fingerprints: dict[str, str]
    """Part → SHA-256 over its texts and labels."""
    unlabelled: int = 0
    """Texts whose labels were dropped, for self-training."""
    calibration: int = 0
    """Texts whose labels were dropped, for the thresholds of cascades."""
    source_fingerprint: str = ""
    """SHA-256 over the usable texts and labels of the source, before they are divided and without live texts."""
    live: LiveCounts | None = None
    """Counts of the live texts; None if none were requested."""
    live_balance: dict[str, dict[str, int]] = field(default_factory=dict)
    """Part → label → live texts among those of `balance`."""
    columns: Columns | None = None
    """Where text and label were taken from; None for the packaged source."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, sorted."""
        return tuple(self.balance["train"])

    def live_facts(self) -> dict[str, int]:
        """Counts of live texts by part and outcome, with names valid for tags and parameters; empty without live
        texts."""
        if self.live is None:
            return {}
        parts = {name: sum(counts.values()) for name, counts in self.live_balance.items()}
        return {
            "live_texts": sum(parts.values()),
            **{f"live_{name}": count for name, count in parts.items()},
            **{f"live_{name}": count for name, count in asdict(self.live).items()},
        }

    def quantiles(self, part: str) -> dict[str, float]:
        """Quantiles of the number of words of a part's texts; empty for an empty part."""
        words = self.lengths[part]
        if not words:
            return {}
        return {name: float(np.quantile(words, share)) for name, share in QUANTILES.items()}

    def as_dict(self) -> dict[str, Any]:
        """Everything but the single lengths, as JSON can write it."""
        return {
            "source": self.source,
            "source_fingerprint": self.source_fingerprint,
            "columns": None if self.columns is None else asdict(self.columns),
            "rows": asdict(self.rows),
            "live": None if self.live is None else {**asdict(self.live), "parts": self.live_balance},
            "near_duplicate_groups": self.near_duplicate_groups,
            "near_duplicates": self.near_duplicates,
            "unused": self.unused,
            "unlabelled": self.unlabelled,
            "calibration": self.calibration,
            "parts": {
                name: {
                    "texts": len(self.lengths[name]),
                    "classes": counts,
                    "words": self.quantiles(name),
                    "fingerprint": self.fingerprints[name],
                }
                for name, counts in self.balance.items()
            },
        }

    def __rich__(self) -> Group:
        return Group(self._rows_table(), *([self._live_table()] if self.live else []), self._parts_table())

    def _rows_table(self) -> Table:
        table = Table(title=escape(f"Rows of {self.source}"), title_justify="left")
        table.add_column("outcome")
        table.add_column("rows", justify="right")
        if lines := self.rows.lines:
            others = ", ".join(
                f"{lines[name]:,} {name}" for name in ("header", "blank", "continuation") if lines[name]
            )
            table.add_row("lines of the file" + (f" ({others})" if others else ""), f"{lines['lines']:,}")
        table.add_row("read", f"{self.rows.read:,}")
        missing = ", ".join(f"{word} ×{rows}" for word, rows in self.rows.missing_labels.items())
        for name, count in (
            ("empty", self.rows.empty),
            *([("nothing left by data.clean", self.rows.cleaned_away)] if self.rows.cleaned_away else []),
            ("unlabelled" + (f" ({escape(missing)} among them)" if missing else ""), self.rows.unlabelled),
            ("unreadable", self.rows.unreadable),
            *((f"  {escape(problem)}", count) for problem, count in self.rows.problems.items()),
            ("exact duplicates, dropped", self.rows.exact_duplicates),
            ("copies with conflicting labels, dropped", self.rows.conflicting_labels),
            ("left out by the limit or the split", self.rows.left_out + self.unused),
            ("not UTF-8, read as Latin-1", self.rows.recoded),
            (f"near-duplicates in {self.near_duplicate_groups} groups, none held out", self.near_duplicates),
            ("used without their labels", self.unlabelled),
            ("without their labels, for the thresholds of cascades", self.calibration),
            *(
                (f"of {escape(label)}, left out: too few for the split", texts)
                for label, texts in self.rows.small_classes.items()
            ),
            *(
                (f"labelled {escape(repr(spelling))}, joined to {escape(repr(label))}", rows)
                for label, spellings in self.rows.joined_labels.items()
                for spelling, rows in spellings.items()
                if spelling != label
            ),
        ):
            table.add_row(name, f"{count:,}")
        if self.rows.notes:
            table.caption, table.caption_justify = escape("\n".join(self.rows.notes)), "left"
        return table

    def _live_table(self) -> Table:
        assert self.live is not None
        table = Table(title="Live texts with labels", title_justify="left")
        table.add_column("outcome")
        table.add_column("texts", justify="right")
        for name, count in (
            ("read", self.live.read),
            ("unusable", self.live.unusable),
            ("labelled with no class of the source", self.live.unknown_label),
            ("copies, dropped", self.live.exact_duplicates),
            ("copies with conflicting labels, dropped", self.live.conflicting_labels),
            ("beyond the newest of their class", self.live.over_the_cap),
            ("near copies of a held-out text, left out", self.live.near_held_out),
            ("cut to what is read of a text", self.live.cut),
            ("labelled, but their text is not stored (STORE_TEXT)", self.live.without_text),
            *((f"in {name}", sum(counts.values())) for name, counts in self.live_balance.items()),
            ("texts of the source that they contradict, taken out", self.live.contradicted),
        ):
            table.add_row(name, f"{count:,}")
        return table

    def _parts_table(self) -> Table:
        table = Table(title="Parts", title_justify="left")
        table.add_column("")
        shown = [name for name, words in self.lengths.items() if words]
        for name in shown:
            table.add_column(name, justify="right")
        table.add_row("texts", *(f"{len(self.lengths[name]):,}" for name in shown), end_section=True)
        for label in self.labels:
            cells = []
            for name in shown:
                count = self.balance[name].get(label, 0)
                cells.append(f"{count:,} ({count / len(self.lengths[name]):.0%})")
            table.add_row(escape(label), *cells)
        table.add_section()
        for quantile in QUANTILES:
            table.add_row(f"words, {quantile}", *(f"{self.quantiles(name)[quantile]:,.0f}" for name in shown))
        return table


def make_report(
    loaded: LoadedData,
    parts: Mapping[str, Part],
    *,
    groups: int,
    near_duplicates: int,
    unused: int,
    unlabelled: int = 0,
    calibration: int = 0,
) -> DataReport:
    """The report of `loaded` divided into `parts`."""
    return DataReport(
        source=loaded.source,
        rows=loaded.counts,
        near_duplicate_groups=groups,
        near_duplicates=near_duplicates,
        unused=unused,
        balance={name: dict(sorted(Counter(part.labels).items())) for name, part in parts.items()},
        lengths={name: tuple(len(text.split()) for text in part.texts) for name, part in parts.items()},
        fingerprints={name: part.fingerprint for name, part in parts.items()},
        unlabelled=unlabelled,
        calibration=calibration,
        source_fingerprint=loaded.part.fingerprint,
        live=loaded.live.counts if loaded.live else None,
        live_balance={
            name: dict(sorted(Counter(part.labels[row] for row in part.live).items()))
            for name, part in parts.items()
            if name != "holdout"  # live texts have been live already
        }
        if loaded.live
        else {},
        columns=loaded.columns,
    )


@dataclass(frozen=True)
class Splits:
    """The parts of a data set; no text or near copy is in two parts."""

    train: Part
    validation: Part
    test: Part
    holdout: Part
    report: DataReport
    unlabelled: tuple[str, ...] = ()
    """Texts whose labels were dropped when the data were divided; near copies of none that is held out."""
    calibration: tuple[str, ...] = ()
    """Texts whose labels were dropped, and from which no candidate may learn; none is a near copy of another text."""
    cleaning: TextCleaning | None = None
    """What was taken out of every text, and is to be taken out of what the trained classifier reads; None: nothing."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, sorted; each occurs in each part that is not empty."""
        return tuple(sorted(set(self.train.labels)))

    def parts(self) -> dict[str, Part]:
        """Name → part, in the order train, validation, test, holdout."""
        return {
            "train": self.train, "validation": self.validation, "test": self.test, "holdout": self.holdout,
        }  # fmt: skip

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of all parts, and the texts without labels if there are any."""
        digest = hashlib.sha256("".join(part.fingerprint for part in self.parts().values()).encode())
        for text in [*self.unlabelled, *self.calibration]:
            digest.update(json.dumps(text).encode())
        return digest.hexdigest()
