"""Who computes the answers: an engine takes the chunks of a job as they are read, and gives each back answered."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from service.scoring.answers import answer
from service.scoring.champion import ScoringModel
from service.scoring.tables import Chunk, Columns


@dataclass(frozen=True, slots=True)
class Answered:
    """A chunk with what is added to its rows."""

    chunk: Chunk
    added: Columns
    problems: dict[str, int]
    """Why rows were not scored → how many."""


class Engine(Protocol):
    """A generator of answers. Closing it gives back whatever it holds."""

    def __call__(
        self, chunks: Iterable[Chunk], model: ScoringModel, columns: Mapping[str, type]
    ) -> Generator[Answered, None, None]:
        """Answer chunks, in their order; takes few more of them than it has given back, so that memory stays bounded.

        Args:
            chunks: what to answer.
            model: which model answers.
            columns: what is added, as `new_columns` gives it.
        """
        ...


def in_this_process(
    chunks: Iterable[Chunk], model: ScoringModel, columns: Mapping[str, type]
) -> Generator[Answered, None, None]:
    """One chunk after the other, here."""
    for chunk in chunks:
        yield Answered(chunk, *answer(model.classifier, chunk.texts, chunk.problems, columns))
