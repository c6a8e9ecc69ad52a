"""Tokenise texts, with a cache of the tokenised data set."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import datasets
import tokenizers
from datasets import Dataset, Features, List, Value
from transformers import PreTrainedTokenizerFast

from classifier.manifest import sha256_of
from training.data import Part
from training.logs import fields

LIMIT = 4 * 1024**3
"""Bytes that the cache may take; past it, what was not used for longest goes."""

_LAYOUT = 1
_HASHES = "sha256.json"
logger = logging.getLogger("training.finetuning")


def encoded_part(
    part: Part,
    labels: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    cache: Path,
    *,
    limit: int = LIMIT,
) -> Dataset:
    """A part of the data as `input_ids` and what else the network takes, `labels` and `length`; without padding.

    It is read from `cache` where the same texts were tokenised alike before; a damaged entry is computed again.

    Args:
        part: texts with labels.
        labels: every label, in the order of the network's outputs.
        tokenizer: says what the network takes.
        max_length: tokens of a text, special ones included; the rest is cut.
        cache: folder of the kept data sets, one each; shared by runs and processes.
        limit: bytes that the folder may take afterwards, this entry aside.
    """
    entry = cache / _key(part, labels, tokenizer, max_length)
    found = _read(entry)
    if found is None:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as making:
            made = Path(making) / "data"
            with _no_bars():
                _encoded(part, labels, tokenizer, max_length).save_to_disk(str(made))
            hashes = {path.name: sha256_of(path) for path in sorted(made.iterdir())}
            (made / _HASHES).write_text(json.dumps(hashes), encoding="utf-8")
            try:
                made.rename(entry)
            except OSError:  # another process was first
                logger.info("tokens_made_twice", extra=fields(entry=entry.name))
        found = _read(entry)
        if found is None:
            raise OSError(
                f"{entry} cannot be read back right after it was written: is the disk full or failing?"
            )
    os.utime(entry)
    _prune(cache, entry, limit)
    return found


def _encoded(
    part: Part, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast, max_length: int
) -> Dataset:
    positions = {label: position for position, label in enumerate(labels)}
    # A tokenizer warns of texts longer than its model's maximum only where it does not cut them.
    columns = dict(tokenizer(part.texts, truncation=True, max_length=max_length))
    kinds = {name: List(Value("int32" if name == "input_ids" else "int8")) for name in columns}
    columns["length"] = [len(ids) for ids in columns["input_ids"]]
    columns["labels"] = [positions[label] for label in part.labels]
    return Dataset.from_dict(
        columns, features=Features({**kinds, "length": Value("int32"), "labels": Value("int64")})
    )


def _key(part: Part, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast, max_length: int) -> str:
    """All that the tokens follow from."""
    # Left over from the last call, and set again by the next.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    facts = [
        _LAYOUT,
        tokenizers.__version__,
        tokenizer.backend_tokenizer.to_str(),
        tokenizer.model_input_names,
        max_length,
        list(labels),
        part.fingerprint,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read(entry: Path) -> Dataset | None:
    """The data set kept in `entry`; None if it is missing or damaged, in which case `entry` is removed."""
    if not entry.exists():
        return None
    try:
        hashes = json.loads((entry / _HASHES).read_text(encoding="utf-8"))
        if any(sha256_of(entry / name) != expected for name, expected in hashes.items()):
            raise ValueError("a file is not what was written")
        return Dataset.load_from_disk(str(entry))
    except (OSError, ValueError, AttributeError) as error:
        logger.warning("tokens_made_anew", extra=fields(entry=entry.name, why=str(error)))
        shutil.rmtree(entry, ignore_errors=True)
        return None


def _prune(cache: Path, keep: Path, limit: int) -> None:
    """Remove entries, the one unused for longest first, until those other than `keep` take at most `limit` bytes."""
    entries = sorted(
        (
            path
            for path in cache.iterdir()
            if path.is_dir() and path != keep and not path.name.startswith(".")
        ),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    taken = 0
    for entry in entries:
        taken += sum(path.stat().st_size for path in entry.iterdir())
        if taken > limit:
            shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the bars that `datasets` draws through the run's own."""
    drawn = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            datasets.enable_progress_bars()
