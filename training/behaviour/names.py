"""Common names of people and places, so that one can stand for another. No names of the famous: they are the topic."""

from __future__ import annotations


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
