"""What changes when one version of a model takes another's place: labels, data source, gate's decision, figures.

Labels and data source are tags of a version, so that they can be compared without downloading a bundle. The digest of
the labels that the champion was last promoted with is a tag of the registered model: the service takes a champion with
other labels for a mistake (an alias that was moved by hand) until `promote --force` or `rollback` has accepted them
there, and every replica reads the same tag.

Nothing here imports MLflow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stores.model_cache import RegisteredModel

LABELS, LABELS_DIGEST = "labels", "labels_digest"
"""Tags of a version: its labels as a JSON list (only their number where the list does not fit), and their digest."""
ACCEPTED_LABELS = "accepted_labels_digest"
"""Tag of the registered model: digest of the labels that its champion may have."""
DATA_SOURCE, SOURCE_FINGERPRINT = "data_source", "data_source_fingerprint"
"""Tags of a version: where its training texts come from, and the SHA-256 over the source's usable texts and labels."""
_LONGEST_TAG = 5000
"""Bytes; the column of MLflow's database, before its version 3 also that of versions' tags."""

_HEADLINES = (
    ("test_macro_f1", "macro-F1"),
    ("test_accuracy", "accuracy"),
    ("test_calibration_error", "calibration error"),
    ("latency_ms_p50", "ms/text"),
    ("megabytes", "MB"),
)


def labels_digest(labels: Sequence[str]) -> str:
    """SHA-256 over a set of labels, whatever their order; 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(sorted(labels)).encode()).hexdigest()


def label_tags(labels: Sequence[str]) -> dict[str, str]:
    """The tags that say which labels a version has."""
    try:
        listed = json.dumps(list(labels), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair
        listed = json.dumps(list(labels)).encode()
    listing = listed.decode() if len(listed) <= _LONGEST_TAG else f"{len(labels)} labels"
    return {LABELS: listing, LABELS_DIGEST: labels_digest(labels)}


def labels_in(tags: Mapping[str, str]) -> tuple[str, ...] | None:
    """The labels that a version's tags list; None where they list none."""
    try:
        found = json.loads(tags[LABELS])
    except (KeyError, ValueError):
        return None
    return tuple(map(str, found)) if isinstance(found, list) else None


@dataclass(frozen=True, slots=True)
class PromotionChange:
    """A version beside the champion that it would replace."""

    version: RegisteredModel
    champion: RegisteredModel | None
    """None: there is none."""
    labels: tuple[str, ...]
    """Empty where they are not known; so are the champion's."""
    champion_labels: tuple[str, ...]

    @property
    def added(self) -> tuple[str, ...]:
        """Labels that the champion lacks, in the version's order."""
        return tuple(label for label in self.labels if label not in set(self.champion_labels))

    @property
    def removed(self) -> tuple[str, ...]:
        """Labels that only the champion has, in its order."""
        return tuple(label for label in self.champion_labels if label not in set(self.labels))

    @property
    def labels_differ(self) -> bool:
        """Whether the two have other labels; their order does not count. False where either's are not known."""
        return bool(self.labels and self.champion_labels) and bool(self.added or self.removed)

    @property
    def source_differs(self) -> bool:
        """Whether the two learned from different sources; False where either does not say."""
        if self.champion is None:
            return False
        return other_source(self.champion.tags, self.version.tags)

    def refusals(self) -> list[str]:
        """Why this promotion needs `--force`, in sentences; empty where it does not."""
        found = []
        if self.labels_differ and self.champion is not None:
            found.append(
                f"version {self.version.version} has other labels than the champion, version "
                f"{self.champion.version}: {label_change(self.added, self.removed)}"
            )
        if self.version.tags.get("gate") == "failed":
            why = self.version.tags.get("gate_reasons", "").rstrip(".")
            found.append(f"the gate refused version {self.version.version}" + (f": {why}" if why else ""))
        return found

    def rows(self) -> list[tuple[str, str, str]]:
        """What is compared: its name, the champion's value, the version's value; texts for a table."""
        before = self.champion.tags if self.champion else {}
        after = self.version.tags
        found = [("labels", _counted(self.champion_labels), _counted(self.labels))]
        if self.labels_differ:
            found.append(("labels added", "", ", ".join(self.added) or "none"))
            found.append(("labels removed", ", ".join(self.removed) or "none", ""))
        for key, title in (
            (DATA_SOURCE, "data source"),
            ("experiment", "experiment"),
            ("candidate", "candidate"),
        ):
            found.append((title, before.get(key, "–"), after.get(key, "–")))
        found.append(("data fingerprint", before.get("data", "–")[:12], after.get("data", "–")[:12]))
        found.append(("gate", before.get("gate", "–"), after.get("gate", "–")))
        for key, title in _HEADLINES:
            if key in before or key in after:
                found.append((title, _figure(before, key), _figure(after, key)))
        return found


def other_source(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether the tags of two versions name different data sources; False where either names none.

    A file that was moved or renamed but holds the same texts is the same source.
    """
    if DATA_SOURCE not in before or DATA_SOURCE not in after:
        return False
    if before[DATA_SOURCE] == after[DATA_SOURCE]:
        return False
    same = before.get(SOURCE_FINGERPRINT) == after.get(SOURCE_FINGERPRINT)
    return not (same and SOURCE_FINGERPRINT in before)


def label_change(added: Sequence[str], removed: Sequence[str], *, most: int = 5) -> str:
    """A change of labels in words, with at most `most` names of each kind: `adds billing; lacks sport and tech`."""
    parts = [
        f"{verb} {_listed(labels, most)}" for verb, labels in (("adds", added), ("lacks", removed)) if labels
    ]
    return "; ".join(parts) or "the same labels"


def _listed(names: Sequence[str], most: int) -> str:
    shown = [*names[:most], f"{len(names) - most} more"] if len(names) > most else list(names)
    return ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else shown[0]


def _counted(labels: Sequence[str]) -> str:
    return str(len(labels)) if labels else "–"


def _figure(tags: Mapping[str, str], key: str) -> str:
    if key not in tags:
        return "–"
    interval = [tags.get(f"{key}_{end}") for end in ("low", "high")]
    return f"{tags[key]} ({interval[0]}–{interval[1]})" if all(interval) else tags[key]
