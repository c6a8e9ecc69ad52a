"""Deduplication: drop exact copies, and group near copies so that a group never spans two parts.

Near copies are found by MinHash with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998) over runs of
three words, and each pair it proposes is checked by its true Jaccard similarity.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Part

SHINGLE_WORDS = 3
_PERMUTATIONS = 128
_WORD = re.compile(r"\w+")
_SEED = 1  # of the permutations; which texts are alike must not depend on an experiment's seed


def drop_exact(part: Part) -> tuple[Part, int, int]:
    """Each text once: (texts with labels, duplicates dropped, rows dropped because copies have different labels).

    Texts that differ in white space only are copies.
    """
    labels_of: dict[str, set[str]] = {}
    keys = [same_text(text) for text in part.texts]
    for key, label in zip(keys, part.labels, strict=True):
        labels_of.setdefault(key, set()).add(label)
    seen: set[str] = set()
    kept: list[int] = []
    duplicates = conflicting = 0
    for index, key in enumerate(keys):
        if len(labels_of[key]) > 1:
            conflicting += 1
        elif key in seen:
            duplicates += 1
        else:
            seen.add(key)
            kept.append(index)
    return part.rows(kept), duplicates, conflicting


def same_text(text: str) -> str:
    """What copies of a text have in common: its words, white space made single."""
    return " ".join(text.split())


def conflicting_copies(rows: Iterable[tuple[str, str]], most: int) -> dict[str, dict[str, int]]:
    """Text → label → rows, of at most `most` texts with more than one label."""
    labels_of: dict[str, Counter[str]] = {}
    for text, label in rows:
        labels_of.setdefault(same_text(text), Counter())[label] += 1
    conflicts = ((text, dict(labels)) for text, labels in labels_of.items() if len(labels) > 1)
    return dict(islice(conflicts, most))


def near_duplicate_groups(texts: Sequence[str], similarity: float) -> list[list[int]]:
    """Indices of texts that are near copies of one another, in groups of two or more, in order of their first.

    A group is closed under similarity: what is near to any of its texts belongs to it.
    """
    from datasketch import MinHash, MinHashLSH  # takes 0.4 s, which every command would pay

    shingled = [shingles(text) for text in texts]
    # Recall counts: what the index proposes wrongly is thrown out by the true similarity.
    # datasketch wants a threshold below 1 to choose its bands.
    index = MinHashLSH(threshold=min(similarity, 0.95), num_perm=_PERMUTATIONS, weights=(0.1, 0.9))
    blank = MinHash(num_perm=_PERMUTATIONS, seed=_SEED, hashfunc=int)
    leader = list(range(len(texts)))
    for number, found in enumerate(shingled):
        if not len(found):
            continue
        sketch = blank.copy()
        sketch.update_batch(found)
        for other in index.query(sketch):
            if jaccard(found, shingled[other]) >= similarity:
                _join(leader, number, other)
        index.insert(number, sketch)
    groups: dict[int, list[int]] = {}
    for number in range(len(texts)):
        groups.setdefault(_leader(leader, number), []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def shingles(text: str) -> NDArray[np.uint32]:
    """Hashes of the runs of three words of `text`, distinct and sorted; of the whole, where it has fewer words."""
    words = _WORD.findall(text.casefold())
    if not words:
        # "???" and ":-)" have no words: they are like themselves only.
        words = text.split()
    runs = {
        " ".join(words[start : start + SHINGLE_WORDS])
        for start in range(max(1, len(words) - SHINGLE_WORDS + 1))
    }
    hashes = [
        int.from_bytes(hashlib.blake2b(run.encode("utf-8", "replace"), digest_size=4).digest())
        for run in runs
    ]
    return np.unique(np.asarray(hashes, dtype=np.uint32))


def jaccard(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> float:
    """Shared elements over all elements of two sets given as sorted arrays."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _leader(leader: list[int], number: int) -> int:
    while leader[number] != number:
        leader[number] = leader[leader[number]]
        number = leader[number]
    return number


def _join(leader: list[int], left: int, right: int) -> None:
    low, high = sorted((_leader(leader, left), _leader(leader, right)))
    leader[high] = low
