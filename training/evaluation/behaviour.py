"""Behavioural tests: invariance, directional expectation and minimum functionality (CheckList).

Ribeiro, Wu, Guestrin and Singh 2020, *Beyond Accuracy: Behavioral Testing of NLP Models with CheckList*,
arXiv:2005.04118.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from classifier import Classifier
from training.config.evaluation import BehaviourConfig
from training.data import Part
from training.data.labels import positions_of
from training.evaluation.intervals import Interval, share_interval


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


_LEAST_TEXTS = 3
_PRIOR = 500.0


def discriminative_terms(part: Part, count: int) -> dict[str, list[str]]:
    """Label → its `count` most telling words in `part`, the most telling first; fewer where it has fewer.

    Words are ranked by the z-score of their log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn
    2008, *Fightin' Words*, Political Analysis 16:4), counted once per text, so that words repeated within a few texts
    do not count more."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(
        binary=True, stop_words="english", min_df=min(_LEAST_TEXTS, max(1, len(part) // 20)),
        token_pattern=r"(?u)\b[^\W\d_]{3,}\b", max_features=20_000,
    )  # fmt: skip
    try:
        present = vectorizer.fit_transform(part.texts)
    except ValueError:  # no word is in enough texts
        return {label: [] for label in sorted(set(part.labels))}
    words = vectorizer.get_feature_names_out()
    labels = np.asarray(part.labels)
    overall = np.asarray(present.sum(axis=0), dtype=np.float64).ravel()
    prior = _PRIOR * overall / overall.sum()
    found = {}
    for label in sorted(set(part.labels)):
        here = np.asarray(present[labels == label].sum(axis=0), dtype=np.float64).ravel()
        score = _log_odds(here, prior) - _log_odds(overall - here, prior)
        z = score / np.sqrt(1 / (here + prior) + 1 / (overall - here + prior))
        best = np.argsort(-z, kind="stable")[:count]
        found[label] = [str(words[index]) for index in best if z[index] > 0]
    return found


def _log_odds(counts: np.ndarray, prior: np.ndarray) -> np.ndarray:
    total = counts.sum() + prior.sum()
    odds: np.ndarray = np.log((counts + prior) / (total - counts - prior))
    return odds


Kind = Literal["invariance", "direction", "minimum"]


@dataclass(frozen=True)
class Failure:
    """One text that did not get what it should."""

    before: str
    """The text as it was; empty where only one text was tried."""
    after: str
    """The text as it was tried."""
    expected: str
    found: str


@dataclass(frozen=True)
class BehaviourTest:
    """One test, tried on many texts."""

    name: str
    """For tags and metrics: `invariance_case`, `minimum_function`, …"""
    kind: Kind
    title: str
    """For people: what must hold."""
    tried: int
    """Texts tried."""
    share: Interval
    """Of the texts tried, those that passed, with the Wilson interval."""
    failures: tuple[Failure, ...] = ()
    """A few of those that did not; they quote texts of the data."""


@dataclass(frozen=True)
class Behaviour:
    """All tests of one classifier."""

    tests: tuple[BehaviourTest, ...]

    def metrics(self) -> dict[str, float]:
        """Figures by the names MLflow keeps them under: `behaviour_invariance_case`, `…_low`, `…_high`."""
        figures: dict[str, float] = {}
        for test in self.tests:
            share, name = test.share, f"behaviour_{test.name}"
            figures |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
        return figures

    def as_dict(self, *, texts: bool) -> list[dict[str, Any]]:
        """Everything as JSON can write it; failures, which quote texts, only with `texts`."""
        rows = [asdict(test) for test in self.tests]
        return rows if texts else [{k: v for k, v in row.items() if k != "failures"} for row in rows]


_LEAST_TRIED = 10
"""Minimum number of texts of a test."""
_SHORT_TEXTS = 10
_WORDS_OF_A_SHORT_TEXT = 5
_WORDS_ADDED = 3


def run_behavioural_tests(
    classifier: Classifier, learned: Part, held_out: Part, config: BehaviourConfig, *, seed: int
) -> Behaviour:
    """Try everything on `classifier`.

    Args:
        classifier: the one to test, calibrated.
        learned: the training part; the words that distinguish its classes are found in it.
        held_out: labelled texts that it has not seen.
        config: how much is tried.
        seed: decides which texts are drawn and how they are changed.
    """
    if not config.texts or not len(held_out):
        return Behaviour(())
    part = _drawn(classifier, held_out, config.texts, seed)
    terms = discriminative_terms(learned, config.words)
    before = classifier.predict(part.texts)
    tests = [
        _invariance(classifier, part, before, name, title, change, config, seed)
        for name, (title, change) in changes(config.typos).items()
    ]
    tests += _direction(classifier, part, before, terms, config, seed)
    tests.append(_minimum(classifier, terms, config, seed))
    return Behaviour(tuple(test for test in tests if test is not None))


def _drawn(classifier: Classifier, part: Part, count: int, seed: int) -> Part:
    """Some texts, cut to what the classifier may read of them: a change further on would change nothing."""
    chosen = random.Random(seed).sample(range(len(part)), min(count, len(part)))
    most = classifier.max_length
    texts = [part.texts[index] for index in chosen]
    if most is not None:
        texts = [" ".join(text.split()[:most]) for text in texts]
    return Part(texts, [part.labels[index] for index in chosen])


def _invariance(
    classifier: Classifier,
    part: Part,
    before: np.ndarray,
    name: str,
    title: str,
    change: Change,
    config: BehaviourConfig,
    seed: int,
) -> BehaviourTest | None:
    chance = random.Random(f"{seed} {name}")
    changed = [change(text, chance) for text in part.texts]
    tried = [index for index, text in enumerate(part.texts) if changed[index] != text]
    if len(tried) < _LEAST_TRIED:
        return None
    after = classifier.predict([changed[index] for index in tried])
    was, now = before[tried].argmax(axis=1), after.argmax(axis=1)
    failures = [
        Failure(part.texts[index], changed[index], classifier.labels[was[row]], classifier.labels[now[row]])
        for row, index in enumerate(tried)
        if was[row] != now[row]
    ]
    return _test(name, "invariance", title, len(tried), failures, config)


def _direction(
    classifier: Classifier,
    part: Part,
    before: np.ndarray,
    terms: dict[str, list[str]],
    config: BehaviourConfig,
    seed: int,
) -> list[BehaviourTest | None]:
    """Words of a class put before a text: the class must not become less probable, whether or not it is the true one.

    Before, because a classifier may not read to the end.
    """
    chance = random.Random(f"{seed} direction")
    own = positions_of(part.labels, classifier.labels)
    shift = np.asarray([chance.randrange(1, len(classifier.labels)) for _ in own])
    other = (own + shift) % len(classifier.labels)
    found: list[BehaviourTest | None] = []
    for name, title, aims in (
        ("direction_own", "Words of its class do not make a text's class less probable", own),
        ("direction_other", "Words of another class do not make that class less probable", other),
    ):
        tried = [row for row, aim in enumerate(aims) if len(terms[classifier.labels[aim]]) >= _WORDS_ADDED]
        if len(tried) < _LEAST_TRIED:
            found.append(None)
            continue
        texts = [
            " ".join(chance.sample(terms[classifier.labels[aims[row]]], _WORDS_ADDED))
            + f". {part.texts[row]}"
            for row in tried
        ]
        after = classifier.predict(texts)
        failures = []
        for place, row in enumerate(tried):
            was, now = float(before[row, aims[row]]), float(after[place, aims[row]])
            if now < was * (1 - config.tolerance):
                label = classifier.labels[aims[row]]
                failures.append(
                    Failure(
                        part.texts[row], texts[place], f"{label} at least {was:.3f}", f"{label} {now:.3f}"
                    )
                )
        found.append(_test(name, "direction", title, len(tried), failures, config))
    return found


def _minimum(
    classifier: Classifier, terms: dict[str, list[str]], config: BehaviourConfig, seed: int
) -> BehaviourTest | None:
    chance = random.Random(f"{seed} minimum")
    rows: list[tuple[str, str]] = []
    for label in classifier.labels:
        if given := config.minimum.get(label):
            rows += [(text, label) for text in given]
        elif len(words := terms.get(label, [])) >= _WORDS_OF_A_SHORT_TEXT:
            rows += [
                (" ".join(chance.sample(words, _WORDS_OF_A_SHORT_TEXT)), label) for _ in range(_SHORT_TEXTS)
            ]
    if not rows:
        return None
    given_labels = classifier.predict([text for text, _ in rows]).argmax(axis=1)
    failures = [
        Failure("", text, label, classifier.labels[position])
        for (text, label), position in zip(rows, given_labels, strict=True)
        if classifier.labels[position] != label
    ]
    return _test(
        "minimum_function", "minimum", "Short, plain texts get their label", len(rows), failures, config
    )


def _test(
    name: str, kind: str, title: str, tried: int, failures: Sequence[Failure], config: BehaviourConfig
) -> BehaviourTest:
    share = share_interval(tried - len(failures), tried)
    return BehaviourTest(name, kind, title, tried, share, tuple(failures[: config.examples]))  # type: ignore[arg-type]
