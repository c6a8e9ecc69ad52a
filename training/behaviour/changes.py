"""Ways to write a text otherwise without saying anything else: what a classifier must not mind."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import partial

from training.behaviour.names import PEOPLE, PLACES

Change = Callable[[str, random.Random], str]
"""(text, source of chance) → the text changed, or the very text where there is nothing to change."""

_LONG_WORD = re.compile(r"[^\W\d_]{4,}")


def other_case(text: str, chance: random.Random) -> str:
    """All of it in small letters, or all in capitals."""
    return text.lower() if chance.random() < 0.5 else text.upper()


def with_typos(text: str, chance: random.Random, *, share: float) -> str:
    """Two letters inside a word exchanged, in `share` of the words of four letters or more, at least in one."""
    words = list(_LONG_WORD.finditer(text))
    if not words:
        return text
    letters = list(text)
    for word in chance.sample(words, max(1, round(share * len(words)))):
        # The first and the last letter stay: readers hold on to them, and so do typists.
        place = chance.randrange(word.start() + 1, word.end() - 2)
        letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def other_punctuation(text: str, chance: random.Random) -> str:
    """Without commas and closing stops, or with doubled spaces and an exclamation mark."""
    if chance.random() < 0.5:
        return re.sub(r"[,;:]|[.!?]+(?=\s|$)", "", text)
    return f"  {'  '.join(text.split())} !"


def other_people(text: str, chance: random.Random) -> str:
    """Common names of people exchanged for others, the same name always for the same."""
    return _exchanged(text, chance, PEOPLE)


def other_places(text: str, chance: random.Random) -> str:
    """Cities and countries exchanged for others, the same place always for the same."""
    return _exchanged(text, chance, PLACES)


def changes(typos: float) -> dict[str, tuple[str, Change]]:
    """Name → (what must hold, the change), for a share of `typos`."""
    return {
        "invariance_case": ("The label stays when all letters are small or capital", other_case),
        "invariance_typos": (
            f"The label stays when {typos:.0%} of the words have a typo",
            partial(with_typos, share=typos),
        ),
        "invariance_punctuation": ("The label stays when punctuation and spaces change", other_punctuation),
        "invariance_people": ("The label stays when people have other names", other_people),
        "invariance_places": ("The label stays when it happens in other places", other_places),
    }


def _exchanged(text: str, chance: random.Random, lists: Sequence[Sequence[str]]) -> str:
    for names in lists:
        found = sorted(set(re.findall(rf"\b(?:{'|'.join(names)})\b", text)))
        others = chance.sample(
            [name for name in names if name not in found], min(len(found), len(names) // 2)
        )
        exchange = dict(zip(found, others, strict=False))
        if exchange:
            text = re.sub(rf"\b(?:{'|'.join(exchange)})\b", lambda match: exchange[match[0]], text)  # noqa: B023
    return text
