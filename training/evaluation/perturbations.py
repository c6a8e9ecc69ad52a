"""Label-preserving perturbations of texts: case, typos, punctuation, names of people and places."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import partial


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _names(
    """
    Adam Alan Alice Andrew Anna Anthony Barbara Brian Carol Charles Christine Daniel David Diana Edward Elena
    Emily Eric Eva Frank George Helen Henry Ian Jack James Jane Jason Jennifer Jim Joan John Jonathan Joseph
    Julia Karen Kate Kevin Laura Lee Linda Lisa Louise Lucy Luke Maria Mark Martin Mary Matthew Michael Mike
    Nancy Nicole Oliver Patricia Paul Peter Philip Rachel Rebecca Richard Robert Robin Roger Ruth Sally Samuel
    Sandra Sarah Scott Simon Sophie Stephen Steve Steven Stuart Susan Thomas Tim Tom Victoria Vincent Walter
    William
    """
)
"""Given names."""

FAMILY_NAMES = _names(
    """
    Adams Allen Anderson Bailey Baker Bell Bennett Brooks Butler Campbell Carter Clark Coleman Collins Cooper
    Cox Davies Davis Edwards Evans Fisher Foster Garcia Graham Gray Griffin Hall Hamilton Harris Harrison Hayes
    Henderson Hughes Hunt Jackson Jenkins Johnson Jones Kelly Kennedy King Lewis Lopez Marshall Martinez Mason
    Miller Mitchell Morgan Morris Murphy Murray Nelson Owen Palmer Parker Patterson Perry Phillips Powell Price
    Reed Reynolds Richardson Roberts Robinson Rogers Ross Russell Sanders Shaw Simmons Smith Stevens Stewart
    Sullivan Taylor Thompson Turner Walker Ward Watson Webb White Williams Wilson Wood Wright Young
    """
)
"""Family names."""

CITIES = _names(
    """
    Amsterdam Athens Atlanta Auckland Baltimore Barcelona Belfast Berlin Birmingham Boston Bristol Brussels
    Budapest Cairo Calgary Cardiff Chicago Cleveland Copenhagen Dallas Delhi Denver Detroit Dublin Edinburgh
    Frankfurt Geneva Glasgow Hamburg Helsinki Houston Istanbul Johannesburg Leeds Lisbon Liverpool London Madrid
    Manchester Melbourne Miami Milan Montreal Moscow Mumbai Munich Nairobi Newcastle Oslo Paris Philadelphia
    Phoenix Pittsburgh Portland Prague Rome Rotterdam Seattle Seoul Shanghai Sheffield Singapore Stockholm
    Sydney Tokyo Toronto Turin Vancouver Vienna Warsaw Zurich
    """
)
"""Cities."""

COUNTRIES = _names(
    """
    Argentina Australia Austria Belgium Brazil Britain Bulgaria Canada Chile China Croatia Denmark Egypt England
    Finland France Germany Greece Hungary India Indonesia Ireland Italy Japan Kenya Malaysia Mexico Morocco
    Netherlands Nigeria Norway Poland Portugal Romania Russia Scotland Spain Sweden Switzerland Thailand Turkey
    Ukraine Wales
    """
)
"""Countries."""

PEOPLE = (FIRST_NAMES, FAMILY_NAMES)
PLACES = (CITIES, COUNTRIES)

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
