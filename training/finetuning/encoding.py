"""Texts as a network reads them: tokenised once; padding is left to each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from training.data import Part


class EncodedPart(Dataset[dict[str, Any]]):
    """A part of the data, tokenised; a row is what the network takes, without padding, and `labels`."""

    def __init__(
        self, part: Part, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast, max_length: int
    ) -> None:
        positions = {label: position for position, label in enumerate(labels)}
        # A tokenizer warns of texts longer than its model's maximum only where it does not cut them.
        encoded = tokenizer(part.texts, truncation=True, max_length=max_length)
        self._rows = [
            {**{name: encoded[name][index] for name in encoded}, "labels": positions[label]}
            for index, label in enumerate(part.labels)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]
