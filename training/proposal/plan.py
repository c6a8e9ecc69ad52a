"""What an experiment for a file is to be: split, candidates and settings, chosen from figures alone.

Every rule is here, and `Plan` carries the reason for each choice as the sentence that the YAML file gets as a comment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.cascade.thresholds import texts_needed
from training.data.split import quotas

FEW_A_CLASS = 32
"""Texts of the median class below which networks are not fine-tuned."""
_PARTS = ("train", "validation", "test")
Shares = tuple[float, float, float]
"""Of train, validation and test."""
_MOST_HELD_OUT = (5_000, 10_000)
"""Texts in validation and test beyond which intervals hardly shrink."""
_SHARES: tuple[tuple[int, Shares], ...] = (
    # From this many usable texts on: train, validation, test.
    (20_000, (0.8, 0.1, 0.1)),
    (2_000, (0.7, 0.12, 0.18)),
    (300, (0.6, 0.15, 0.25)),
    (0, (0.5, 0.2, 0.3)),
)
_EVEN = (0.4, 0.3, 0.3)
_EPOCHS = ((500, 8), (1_500, 5), (5_000, 4), (15_000, 3), (60_000, 2), (0, 1))
"""Up to this many training texts (0: any number) → epochs."""
_PART_A_CLASS = 3
"""Texts of each class that a held-out part should have, where the class is large enough."""
_LONGEST = 256
"""Tokens beyond which a text's class seldom changes and time doubles; also what MiniLM was made for."""
_SHORTEST = 32
_STEP = 16
_IMBALANCED = 5.0
_STOP_WORDS_FROM = 20
"""Median words of a text from which leaving out stop words costs nothing."""
_UNKNOWN = 0.05
"""Share of tokens unknown to the encoder from which it cannot read the texts."""
_UNSPACED = 0.3
_CATBOOST = {"classes": 12, "texts": 20_000, "fewest": 500}
_ACCURACY_LOSSES = (0.005, 0.01, 0.02)
_CLASS_LOSSES = (0.05, 0.1)
"""Limits of a cascade's loss, the tightest that the validation part can show first."""
_CONFIDENCE = 0.95
_MOST_SECONDS = 3_600.0
"""Expected training time from which a network is left out."""
_UNREADABLE = "MiniLM does not know these characters"
MINILM, MULTILINGUAL = "all-minilm-l6-v2", "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"


@dataclass(frozen=True)
class Figures:
    """What is known of a file when the choices are made."""

    classes: Mapping[str, int]
    """Label → usable texts."""
    single: Mapping[str, int]
    """Label → those of them that are no near copies of others: only these are held out."""
    median_words: float
    tokens: tuple[float, float]
    """Median and 95 % quantile of the encoder's tokens."""
    unknown_tokens: float = 0.0
    """Share of the tokens that the encoder does not know."""
    language: str | None = "en"
    """ISO 639-1 code of the main language; None where no language is clear."""
    unspaced: float = 0.0
    """Share of the letters that belong to scripts without blanks between words."""
    encoder_limit: int = 512
    """Tokens that the encoder can read."""

    @property
    def texts(self) -> int:
        """Usable texts."""
        return sum(self.classes.values())

    @property
    def median_class(self) -> float:
        """Texts of the median class."""
        counts = sorted(self.classes.values())
        middle = len(counts) // 2
        return counts[middle] if len(counts) % 2 else (counts[middle - 1] + counts[middle]) / 2


@dataclass(frozen=True)
class Timing:
    """Seconds a text on this machine, at the length that was chosen."""

    embed: float
    """One forward pass of the encoder."""
    train: float
    """One step of fine-tuning all of its layers."""


@dataclass(frozen=True)
class CandidatePlan:
    """One candidate."""

    name: str
    settings: dict[str, Any]
    reason: str
    seconds: float | None = None
    """Expected training time; None: a few seconds at most."""
    left_out: str = ""
    """Why it is written as a comment only; empty: it is trained."""


@dataclass(frozen=True)
class Plan:
    """The choices, each with its reason."""

    split: dict[str, float]
    split_reason: str
    max_length: int
    length_reason: str
    candidates: tuple[CandidatePlan, ...]
    small_classes: tuple[str, ...] = ()
    """Classes with too few texts for every part."""
    fit_all: bool = False
    remarks: tuple[str, ...] = field(default=())
    """What the user should know before training."""

    @property
    def seconds(self) -> float:
        """Expected training time of all candidates together."""
        return sum(item.seconds or 0.0 for item in self.candidates if not item.left_out)


def make_plan(figures: Figures, timing: Timing | None = None, *, fit_all: bool = False) -> Plan:
    """Choose.

    Args:
        figures: what is known of the file.
        timing: measured on this machine; None: no times are shown, and no candidate is left out for its time.
        fit_all: whether the winner is to learn all texts at last; for few texts it does anyway.
    """
    small = tuple(label for label in figures.classes if _held_out(figures, label, _EVEN) is None)
    left = {label: count for label, count in figures.classes.items() if label not in small}
    usable = Figures(**{**vars(figures), "classes": left})
    few = bool(left) and usable.median_class < FEW_A_CLASS
    split, split_reason = choose_split(usable)
    length, length_reason = choose_length(figures)
    train = round(usable.texts * split["train"])
    validation = round(usable.texts * split["validation"])
    candidates = choose_candidates(usable, train, validation, length, few=few, timing=timing)
    return Plan(
        split=split,
        split_reason=split_reason,
        max_length=length,
        length_reason=length_reason,
        candidates=candidates,
        small_classes=small,
        fit_all=fit_all or few,
        remarks=tuple(_remarks(figures, small)),
    )


def choose_split(figures: Figures) -> tuple[dict[str, float], str]:
    """Shares of train, validation and test, and why.

    The shares for this many texts are taken where they give each class a few texts in each held-out part; else the
    held-out parts are made larger, evenly for the smallest files.
    """
    total = figures.texts
    wanted = next(shares for fewest, shares in _SHARES if total >= fewest)
    usual = _bounded(wanted, total)
    ladder = [usual, wanted, *(shares for _, shares in _SHARES if shares[0] < wanted[0]), _EVEN]
    chosen = next((shares for shares in ladder if _everywhere(figures, shares, _PART_A_CLASS)), None)
    if chosen is None:
        chosen = next((shares for shares in ladder if _everywhere(figures, shares, 1)), _EVEN)
    split = dict(zip(_PARTS, chosen, strict=True))
    test = round(total * split["test"])
    margin = 1.96 * math.sqrt(0.8 * 0.2 / max(1, test))
    reason = (
        f"{total:,} usable texts, all of them used: about {round(total * split['train']):,} to learn from, "
        f"{round(total * split['validation']):,} to choose by, {test:,} that no choice sees. With so many test texts "
        f"an accuracy of 0.80 is known to about ±{margin:.2f}."
    )
    if chosen != usual:
        reason += " The held-out parts are larger than usual so that the smallest class is in each."
    return split, reason


def _bounded(shares: Shares, total: int) -> Shares:
    """`shares` with held-out parts of no more texts than intervals gain from."""
    validation, test = (
        min(share, math.ceil(1000 * most / total) / 1000)
        for share, most in zip(shares[1:], _MOST_HELD_OUT, strict=True)
    )
    return round(1 - validation - test, 3), validation, test


def choose_length(figures: Figures) -> tuple[int, str]:
    """Tokens to read of a text, and why."""
    median, high = figures.tokens
    wanted = max(_SHORTEST, math.ceil(high / _STEP) * _STEP)
    most = min(_LONGEST, figures.encoder_limit)
    length = min(wanted, most)
    reason = f"Texts have {median:,.0f} tokens in the median, 95 % have at most {high:,.0f}."
    if wanted > most:
        reason += f" {length} are read of each: more costs time in proportion and seldom helps."
    return length, reason


def choose_candidates(
    figures: Figures, train: int, validation: int, length: int, *, few: bool, timing: Timing | None
) -> tuple[CandidatePlan, ...]:
    """The candidates, from cheap to expensive, then the cascade that is built on two of them."""
    counts = figures.classes.values()
    skewed = bool(counts) and max(counts) / min(counts) > _IMBALANCED
    readable = figures.unknown_tokens <= _UNKNOWN
    found = [_tfidf(figures, train, skewed=skewed)]
    if catboost := _catboost(figures, train):
        found.append(catboost)
    linear = None if few else _static_linear(found[0], readable=readable)
    found += [linear] if linear else []
    found.append(_head(train, length, skewed=skewed, timing=timing, readable=readable))
    if not few:
        epochs = choose_epochs(train)
        found += [
            _network(name, layers, train, length, epochs, skewed=skewed, timing=timing, readable=readable)
            for name, layers in (("minilm_3", (0, 2, 5)), ("minilm", None))
        ]
    if linear and (cascade := _cascade(linear, found, validation, len(figures.classes))):
        found.append(cascade)
    return tuple(found)


def choose_epochs(train: int) -> int:
    """Number of epochs for `train` texts: the fewer texts, the more epochs."""
    return next(epochs for most, epochs in _EPOCHS if train <= most or most == 0)


def _tfidf(figures: Figures, train: int, *, skewed: bool) -> CandidatePlan:
    settings: dict[str, Any] = {"kind": "tfidf_logreg", "baseline": False}
    if figures.unspaced > _UNSPACED:
        settings |= {"analyzer": "char_wb", "ngram_max": 3, "stop_words": None}
        reason = "Runs of one to three characters: the script puts no space between words."
    else:
        english = figures.language == "en" and figures.median_words >= _STOP_WORDS_FROM
        settings |= {
            "ngram_max": 2,
            "stop_words": "english" if english else None,
            "token_pattern": r"(?u)\b\w+\b",
        }
        why = (
            "without English stop words"
            if english
            else "all words kept, since the texts are short"
            if figures.language == "en"
            else "all words kept: there is a list of stop words for English only"
        )
        reason = f"Words and pairs of words, {why}."
    # In few texts most terms occur once.
    settings["min_df"] = 1 if train < 1_000 else 2
    if skewed:
        settings["class_weights"] = "balanced"
    return CandidatePlan("tfidf_logreg", settings, reason)


def _static_linear(tfidf: CandidatePlan, *, readable: bool) -> CandidatePlan | None:
    """TF-IDF as in `tfidf`, with static vectors where MiniLM knows the words; None where terms are characters."""
    if tfidf.settings.get("analyzer", "word") != "word":
        return None
    settings = tfidf.settings | {"kind": "static_linear", "weights": MINILM if readable else None}
    del settings["baseline"]
    reason = (
        "The same terms and static vectors of MiniLM's tokens: no network runs, about 0.2 ms a text."
        if readable
        else "The same terms, served in about 0.1 ms a text."
    )
    return CandidatePlan("static_linear", settings, reason)


def _cascade(
    linear: CandidatePlan, found: Sequence[CandidatePlan], validation: int, classes: int
) -> CandidatePlan | None:
    """`linear` and the best network of `found`; None where the validation part is too small for any limit."""
    networks = [item for item in found if item.settings["kind"] in ("head", "network") and not item.left_out]
    loss = _shown_by(validation, _ACCURACY_LOSSES)
    class_loss = _shown_by(validation // max(1, classes), _CLASS_LOSSES)
    if not networks or loss is None or class_loss is None:
        return None
    settings = {
        "kind": "cascade", "stages": [linear.name, networks[-1].name], "max_accuracy_loss": loss,
        "max_class_loss": class_loss,
    }  # fmt: skip
    reason = (
        f"{linear.name} answers what it is sure of, {networks[-1].name} the rest together with it; the "
        f"{validation:,} validation texts can show that this costs at most {loss:.1%} of the accuracy."
    )
    return CandidatePlan("cascade", settings, reason)


def _shown_by(texts: int, limits: Sequence[float]) -> float | None:
    """The first limit that can be shown on `texts` texts, if nothing is lost on any of them."""
    return next((limit for limit in limits if texts >= texts_needed(limit, _CONFIDENCE)), None)


def _catboost(figures: Figures, train: int) -> CandidatePlan | None:
    fits = (
        len(figures.classes) <= _CATBOOST["classes"]
        and _CATBOOST["fewest"] <= train <= _CATBOOST["texts"]
        and figures.unspaced <= _UNSPACED
    )
    if not fits:
        return None
    settings = {
        "kind": "tfidf_catboost", "baseline": False, "max_features": 500, "iterations": 100, "stop_words": None,
        "token_pattern": r"(?u)\b\w+\b",
    }  # fmt: skip
    return CandidatePlan("tfidf_catboost", settings, "Trees on single words: small, and fast to serve.")


def _head(train: int, length: int, *, skewed: bool, timing: Timing | None, readable: bool) -> CandidatePlan:
    settings: dict[str, Any] = {"kind": "head", "weights": MINILM, "max_length": length}
    if skewed:
        settings["class_weights"] = "balanced"
    seconds = timing.embed * train if timing else None
    reason = "A linear head on MiniLM as it is: nothing but the head learns, so few texts are enough."
    return CandidatePlan("head", settings, reason, seconds, left_out="" if readable else _UNREADABLE)


def _network(
    name: str,
    layers: tuple[int, ...] | None,
    train: int,
    length: int,
    epochs: int,
    *,
    skewed: bool,
    timing: Timing | None,
    readable: bool,
) -> CandidatePlan:
    settings: dict[str, Any] = {"kind": "network", "weights": MINILM}
    if layers:
        settings["layers"] = list(layers)
    settings |= {
        "max_length": length, "epochs": epochs, "learning_rate": 2e-4 if layers else 1e-4, "batch_size": 16,
        "schedule": {"patience": 2}, "int8": {},
    }  # fmt: skip
    if skewed:
        settings["loss"] = {"class_weights": "balanced", "balance": 0.5}
    what = "Half of MiniLM's layers, fine-tuned" if layers else "MiniLM, fine-tuned"
    reason = f"{what}: {epochs} passes at most over about {train:,} texts, fewer where they bring nothing."
    seconds = None
    left_out = "" if readable else _UNREADABLE
    if timing is not None:
        seconds = timing.train * train * epochs * (len(layers) / 6 if layers else 1.0)
        if seconds > _MOST_SECONDS:
            left_out = left_out or f"that is more than {_MOST_SECONDS / 60:.0f} minutes"
    return CandidatePlan(name, settings, reason, seconds, left_out)


def _remarks(figures: Figures, small: tuple[str, ...]) -> list[str]:
    said = []
    if figures.unknown_tokens > _UNKNOWN:
        said.append(
            f"MiniLM does not know {figures.unknown_tokens:.0%} of the tokens of these texts, so no candidate reads "
            f"them with it. Weights for many languages, from the hub: {MULTILINGUAL}."
        )
    elif figures.language not in ("en", None):
        said.append(
            f"The texts are in {figures.language!r}, and MiniLM learned English: TF-IDF may well be better. Weights "
            f"for many languages, from the hub: {MULTILINGUAL}."
        )
    if small:
        named = ", ".join(f"{label!r} ({figures.classes[label]})" for label in small[:5])
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        said.append(
            f"Left out, since they have too few texts to train, validate and test on: {named}{more}. Add texts, or "
            "merge them into other classes with data.label_names."
        )
    return said


def _everywhere(figures: Figures, shares: Shares, wanted: int) -> bool:
    """Whether every class has `wanted` texts in each part by these shares, or a sixth of its texts."""
    for label, count in figures.classes.items():
        held = _held_out(figures, label, shares)
        if held is None or min(held) < min(wanted, max(1, count // 6)):
            return False
    return True


def _held_out(figures: Figures, label: str, shares: Shares) -> tuple[int, int] | None:
    """Texts of a class in validation and test, as `split_data` shares them out; None where a part gets none."""
    count, single = figures.classes[label], figures.single.get(label, figures.classes[label])
    found = quotas(count, dict(zip(_PARTS, shares, strict=True)))
    if min(found.values()) < 1:
        return None
    held = {name: found[name] for name in _PARTS[1:]}
    if sum(held.values()) > single:
        held = quotas(single, dict(zip(_PARTS[1:], shares[1:], strict=True)))
        if min(held.values()) < 1:
            return None
    return held["validation"], held["test"]
