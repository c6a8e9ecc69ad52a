"""In which order texts are learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class LengthOrder(Sampler[int]):
    """Texts of like length next to one another, drawn anew each epoch from seed and epoch alone.

    transformers' own draws from torch's global generator: whoever continues in the middle of an epoch, when dropout has
    moved that generator on, gets another order and sees some texts twice and others never.
    """

    def __init__(self, lengths: Sequence[int], group: int, seed: int) -> None:
        self._lengths, self._group, self._seed = list(lengths), group, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader when an epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order: list[int] = get_length_grouped_indices(self._lengths, self._group, generator=generator)  # type: ignore[no-untyped-call]
        return iter(order)
