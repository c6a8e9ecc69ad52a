"""The `data` section of an experiment file: source, split, label bins, data checks, live texts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from classifier.cleaning import TextCleaning
from stores.sources import parse_sources
from stores.tabular.errors import TableRefused
from stores.tabular.options import parse_delimiter
from training.config import ConfigModel

Bins = Mapping[str, float | None]

MISSING_LABELS = (
    "nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "NULL", "Null", "null", "None", "N/A", "n/a", "NA", "<NA>", "#N/A",
    "#NA", "-",
)  # fmt: skip
"""What spreadsheets, databases and pandas write for a value that is missing. `none` and `NONE` are classes of
well-known data sets, and so not among them."""


def check_bins(bins: Bins) -> None:
    """Raise ValueError unless `bins` name at least two classes, each ending above the one before it."""
    bounds = [math.inf if bound is None else bound for bound in bins.values()]
    if len(bounds) == 1:
        raise ValueError(f"one class is not enough: {dict(bins)}")
    if any(math.isnan(bound) for bound in bounds) or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise ValueError(
            f"each class must end above the one before it, and only the last may be open: {dict(bins)}"
        )


def binned(label: str, bins: Bins) -> str | None:
    """The first class whose upper bound, which belongs to it, `label` does not exceed.

    None where `label` is no number or lies beyond the last bound.

    >>> binned("-0.5", {"negative": -0.5, "neutral": 0.5, "positive": None})
    'negative'
    """
    try:
        value = float(label)
    except ValueError:
        return None
    if math.isnan(value):
        return None
    return next((name for name, bound in bins.items() if bound is None or value <= bound), None)


class Limits(ConfigModel):
    """Two limits of one figure; null: none."""

    warn: float | None = Field(default=None, ge=0)
    """Above it, the finding is a warning."""

    stop: float | None = Field(default=None, ge=0)
    """Above it, the run stops before training."""

    @model_validator(mode="after")
    def _in_order(self) -> Limits:
        if self.warn is not None and self.stop is not None and self.warn > self.stop:
            raise ValueError(f"warn ({self.warn:g}) must not lie above stop ({self.stop:g})")
        return self


class ChecksConfig(ConfigModel):
    """How much of each fault is accepted. A leak between the parts always stops the run."""

    unlabelled: Limits = Limits(warn=0.05)
    """Share of the rows that have no label, or a word of `data.missing_labels`."""

    label_variants: Limits = Limits(warn=0)
    """Classes that are another class in a different spelling: case, blanks, Unicode form or number format."""

    no_classes: Limits = Limits(warn=0)
    """Share of texts whose label is no class: one of many numbers, a date, a list, or several other labels."""

    small_classes: Limits = Limits(warn=0)
    """Classes with fewer than `few_texts` texts to learn from."""

    few_texts: int = Field(default=10, ge=1)
    """Texts in the training part below which a class is small."""

    duplicates: Limits = Limits(warn=0.1)
    """Share of the usable rows that repeat an earlier one; they are dropped."""

    conflicting_labels: Limits = Limits(warn=0.01)
    """Share of texts of which a copy, exact or near, has another label."""

    imbalance: Limits = Limits(warn=10)
    """Texts of the largest class over those of the smallest, in the training part."""

    truncated: Limits = Limits(warn=0.5)
    """Share of the training texts that a network reads only in part; of each network."""

    suspicious: Limits = Limits(warn=0.01)
    """Share of texts that are very short, hold no letters, markup, or characters of a wrong encoding."""

    other_languages: Limits = Limits(warn=0.05)
    """Share of the texts with a clear language that are not in the main one."""

    shortest: int = Field(default=3, ge=1)
    """Words below which a text is very short."""

    language_texts: int = Field(default=500, ge=0)
    """Texts of which the language is guessed, drawn by the seed; 0 leaves the check out."""

    language_certainty: float = Field(default=0.9, gt=0, le=1)
    """Probability from which a guessed language counts."""

    examples: int = Field(default=5, ge=0)
    """Texts that the page quotes of each finding."""


STORE = "predictions"


class LiveConfig(ConfigModel):
    """Labelled live texts beside those of the source.

    Usage::

        LiveConfig()                                    # from the prediction store, newest first
        LiveConfig(source="labelled.jsonl")             # from a file with a text and a label column
    """

    source: str = STORE
    """`predictions`: the prediction store at PREDICTIONS_URL; else the path to a CSV, TSV, Parquet or JSONL file."""

    model_name: str | None = None
    """Of which model's predictions in the store. None: the experiment's, or else the setting MODEL_NAME."""

    sources: tuple[str, ...] | None = None
    """Sources (header `X-Source`) of the predictions in the store. None: the setting TRAFFIC_SOURCES."""

    since: datetime | None = None
    """Predictions from then on: ISO 8601, UTC unless it says otherwise. None: all that the store holds."""

    until: datetime | None = None
    """Predictions before then. None: all until now. With it the same run finds the same texts again."""

    traffic_since: datetime | None = None
    """From when on they are the traffic of today. The held-out texts from then on become the reference that monitoring
    compares with; older ones are used for training and evaluation all the same. None: all are."""

    per_class: int = Field(default=500, ge=1)
    """At most so many of a class, the newest, so that a class that is labelled often does not crowd out the others."""

    validation: float = Field(default=0.15, ge=0, lt=1)
    """Share of them to choose by."""

    test: float = Field(default=0.35, gt=0, lt=1)
    """Share of them that no choice has seen: there the gate judges winner and champion on live texts, too."""

    @field_validator("sources")
    @classmethod
    def _named(cls, sources: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if sources is None else parse_sources(",".join(sources))

    @field_validator("since", "until", "traffic_since")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    @model_validator(mode="after")
    def _some_to_learn_from(self) -> LiveConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation and test take {self.validation + self.test:g} of the live texts; leave some to learn from"
            )
        return self


PACKAGED = "bbc_news"


class SplitConfig(ConfigModel):
    """Shares of the usable texts, or numbers of them; what they leave over, if anything, is not used at all."""

    train: float = Field(default=0.6, gt=0, le=1)
    """Share to learn from. Near-duplicates all go here."""

    validation: float = Field(default=0.15, gt=0, le=1)
    """Share to choose by: candidates, epochs, temperature."""

    test: float = Field(default=0.15, gt=0, le=1)
    """Share that no choice has seen: the reported figures and the gate."""

    holdout: float = Field(default=0.1, ge=0, le=1)
    """Share that training never touches: later traffic, for the demo and for monitoring's tests."""

    unlabelled: float = Field(default=0.0, ge=0, le=1)
    """Share whose labels are dropped: unlabelled texts for self-training. Near-duplicates go here
    instead of to train, where there is such a share."""

    calibration: float = Field(default=0.0, ge=0, le=1)
    """Share whose labels are dropped, and from which no candidate learns: on these texts and the validation part,
    cascades choose their thresholds."""

    train_texts: int | None = Field(default=None, ge=1)
    """Number of texts to learn from. With it the split goes by numbers, not by shares: `validation_texts` and
    `test_texts` are needed too. Near-duplicates all go here; where they are more than this, held-out parts shrink."""

    validation_texts: int | None = Field(default=None, ge=1)
    """Number of texts to choose by."""

    test_texts: int | None = Field(default=None, ge=1)
    """Number of texts that no choice has seen."""

    holdout_texts: int = Field(default=0, ge=0)
    """Number of texts that training never touches, where the split goes by numbers."""

    unlabelled_texts: int = Field(default=0, ge=0)
    """Number of texts whose labels are dropped at once, where the split goes by numbers."""

    calibration_texts: int = Field(default=0, ge=0)
    """Number of texts without labels for the thresholds of cascades, where the split goes by numbers."""

    @model_validator(mode="after")
    def _all_numbers_or_none(self) -> SplitConfig:
        given = [self.train_texts, self.validation_texts, self.test_texts]
        if any(given) and not all(given):
            raise ValueError("give train_texts, validation_texts and test_texts together, or none of them")
        if (self.holdout_texts or self.unlabelled_texts or self.calibration_texts) and not all(given):
            raise ValueError(
                "holdout_texts, unlabelled_texts and calibration_texts need train_texts, validation_texts and "
                "test_texts beside them"
            )
        return self

    @model_validator(mode="after")
    def _at_most_everything(self) -> SplitConfig:
        if self.total > 1 + 1e-9:
            raise ValueError(f"the shares sum to {self.total:.3f}; they must not exceed 1")
        return self

    @property
    def total(self) -> float:
        """Sum of the shares."""
        return sum(self.shares().values())

    def numbers(self) -> dict[str, int]:
        """Part → texts, where the split goes by numbers; else nothing."""
        if self.train_texts is None or self.validation_texts is None or self.test_texts is None:
            return {}
        parts = {
            "train": self.train_texts, "validation": self.validation_texts, "test": self.test_texts,
            "holdout": self.holdout_texts, "unlabelled": self.unlabelled_texts,
            "calibration": self.calibration_texts,
        }  # fmt: skip
        return {name: count for name, count in parts.items() if count}

    def shares(self) -> dict[str, float]:
        """Part → share, without the parts that get nothing."""
        parts = {
            "train": self.train, "validation": self.validation, "test": self.test, "holdout": self.holdout,
            "unlabelled": self.unlabelled, "calibration": self.calibration,
        }  # fmt: skip
        return {name: share for name, share in parts.items() if share > 0}


class DataConfig(ConfigModel):
    """Where the texts come from.

    Usage::

        DataConfig()                                                        # BBC News, from a package
        DataConfig(source="ag_news", hub_splits=("train",))                 # from the hub
        DataConfig(source="tickets.csv", text_column=["subject", "body"], label_column="team")
    """

    source: str = PACKAGED
    """`bbc_news` (packaged), a path to a file, or the name of a data set on the hub. Read are CSV (`.csv`), TSV
    (`.tsv`, `.txt`), JSON lines (`.jsonl`, `.ndjson`), JSON (`.json`), each also `.gz`, and Parquet (`.parquet`,
    `.pq`); a file with another suffix or none is read as what its content looks like."""

    hub_config: str | None = None
    """Configuration of a hub data set that has several."""

    hub_splits: tuple[str, ...] | None = None
    """Splits of a hub data set to read, one after the other; None reads all. They are divided again by `split`."""

    header: bool = True
    """Whether the first row of a delimited text file (CSV, TSV) holds the column names."""

    column_names: tuple[str, ...] | None = None
    """Names of a delimited text file's columns by position, where there is no header or to override it. Without header
    and names the columns are called `1`, `2`, …"""

    delimiter: str | None = None
    """What separates the columns of a text file: one character, or `tab`; None: found from the first lines. A first
    line `sep=;` is obeyed."""

    quote: Literal["auto", "double", "backslash", "none"] = "auto"
    """What a double quote means in a delimited text file. `double`: a field may be in quotes, doubled inside (RFC
    4180); `backslash`: inside as `\\"`; `none`: a quote is a character; `auto`: decided by the first MiB. A quoted
    field that is never closed, or that text follows, is refused with its row; under `auto` also one that would
    swallow lines that are rows by themselves."""

    encoding: str = "utf-8"
    """Encoding of a text file without a byte order mark. Rows that it cannot decode are counted as unreadable."""

    text_column: str | tuple[str, ...] | None = None
    """Column of the text; several are joined by `. `. None: found by a common name (`text`, `content`, `review`, …).
    Where two columns have one name, `#3` is the third column."""

    label_column: str | None = None
    """Column of the label. None: found by a common name (`label`, `category`, `topic`, …)."""

    id_column: str | None = None
    """Column of what the source calls a row, shown beside the row's number in `label_errors.csv` and `errors.html`.
    None: found by a common name (`id`, `ticket_id`, …), and left out where there is none."""

    missing_labels: tuple[str, ...] = MISSING_LABELS
    """Words in the label column that mean that there is no label. Such rows count as unlabelled; a word that is listed
    in `label_names` is a class all the same."""

    join_label_variants: bool = False
    """Whether labels that differ only by case, blanks, Unicode form or number format (`Spam`, `SPAM`) become one, under
    the most frequent spelling. `1` and `1.0` always do, as `1`."""

    label_names: dict[str, str] = Field(default_factory=dict)
    """Label in the source → its name (`{1: world}`); a label that is not listed keeps its own name."""

    label_bins: dict[str, float | None] = Field(default_factory=dict)
    """Classes for a numeric label, such as a score: name → the highest value that belongs to it, rising; null for the
    last leaves it open: `{negative: -0.5, neutral: 0.5, positive: null}`. A row whose label is no number, or lies
    above the last bound, counts as unlabelled. Empty: labels are taken as they are."""

    clean: TextCleaning = Field(default_factory=TextCleaning)
    """What is taken out of every text before training, and by the trained classifier before it reads a text: `{links:
    true, mentions: "@user"}`. Nothing by default."""

    small_classes: Literal["refuse", "drop"] = "refuse"
    """What happens where a class has too few texts for every part of the split: the run stops, or the class is
    left out, and the report says so."""

    limit: int | None = Field(default=None, ge=2)
    """At most so many texts, drawn by the seed with each class in proportion; None: all."""

    split: SplitConfig = Field(default_factory=SplitConfig)
    """How the texts are divided."""

    near_duplicate_similarity: float = Field(default=0.8, gt=0, le=1)
    """Texts whose sets of three-word runs overlap by this much (Jaccard) are near-duplicates and share one part."""

    live: LiveConfig | None = None
    """Labelled live texts for training and evaluation, beside those of the source; `{}` takes them from the prediction
    store. None: no live texts."""

    checks: ChecksConfig = Field(default_factory=ChecksConfig)
    """From where on a fault of the data is a warning, or stops the run."""

    max_refused: float = Field(default=0.05, ge=0, lt=1)
    """Share of empty and unreadable rows past which the source is refused."""

    max_unlabelled: float = Field(default=0.5, ge=0, lt=1)
    """Share of rows without a label past which the source is refused."""

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str | None) -> str | None:
        try:
            return parse_delimiter(delimiter)
        except TableRefused as error:
            raise ValueError(str(error)) from None

    @field_validator("label_names", mode="before")
    @classmethod
    def _labels_as_text(cls, names: Any) -> Any:
        # YAML reads {1: world} as a number and {true: customer} as a boolean.
        return {str(key): str(value) for key, value in names.items()} if isinstance(names, dict) else names

    @field_validator("missing_labels", mode="before")
    @classmethod
    def _missing_as_text(cls, words: Any) -> Any:
        # YAML reads a bare null, NaN or - as something else than the word.
        return tuple(map(str, words)) if isinstance(words, list | tuple) else words

    @field_validator("label_bins")
    @classmethod
    def _rising_bins(cls, bins: dict[str, float | None]) -> dict[str, float | None]:
        check_bins(bins)
        return bins

    @property
    def text_columns(self) -> tuple[str, ...] | None:
        """The given text columns as a tuple; None when they are to be found."""
        return (self.text_column,) if isinstance(self.text_column, str) else self.text_column
