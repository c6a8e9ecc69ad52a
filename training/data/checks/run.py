"""`check_data`: run every check on loaded and split data."""

from __future__ import annotations

import random
from collections.abc import Mapping

from training.data.checks import content, copies, labels
from training.data.checks.content import languages
from training.data.checks.findings import Findings
from training.data.config import DataConfig
from training.data.dataset import LoadedData
from training.data.deduplication import near_duplicate_groups
from training.data.splits import Splits


def check_data(
    loaded: LoadedData,
    splits: Splits,
    config: DataConfig,
    *,
    seed: int,
    readers: Mapping[str, content.Reader] | None = None,
) -> Findings:
    """Look at everything; nothing is raised, see `Findings.stop_if_grave`.

    Args:
        loaded: what was read.
        splits: what was made of it.
        config: with the limits in `config.checks`.
        seed: draws the texts of those checks that look at some only.
        readers: network → how it reads texts.
    """
    checks = config.checks
    rows = [row for part in splits.parts().values() for row in part]
    groups = near_duplicate_groups([text for text, _ in rows], config.near_duplicate_similarity)
    chance = random.Random(seed)
    sample = chance.sample(range(len(rows)), min(checks.language_texts, len(rows)))
    train = chance.sample(range(len(splits.train)), len(splits.train))
    found = [
        copies.leaks(splits, groups, checks),
        *labels.columns(loaded),
        labels.unlabelled(loaded, checks),
        labels.variants(loaded, checks),
        labels.no_classes(loaded, checks),
        labels.small_classes(splits, checks),
        copies.duplicates(loaded, splits, checks),
        copies.conflicting_labels(loaded, splits, groups, checks),
        content.balance(splits, checks),
        content.lengths(splits),
        *content.truncated(splits.train, readers or {}, checks, train),
        content.suspicious(splits, checks),
    ]
    counts: dict[str, int] = {}
    if sample:
        finding, counts = languages([rows[index][0] for index in sample], checks)
        found.append(finding)
    return Findings(tuple(found), counts)
