"""What data to train on, and how to divide it: the `data` section of an experiment file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from training.data.bins import check_bins
from training.data.checks.config import ChecksConfig
from training.data.live.config import LiveConfig

PACKAGED = "bbc_news"


class SplitConfig(BaseModel):
    """Shares of the usable texts, or numbers of them; what they leave over, if anything, is not used at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(default=0.6, gt=0, le=1)
    """Share to learn from. Near-duplicates all go here."""

    validation: float = Field(default=0.15, gt=0, le=1)
    """Share to choose by: candidates, epochs, temperature."""

    test: float = Field(default=0.15, gt=0, le=1)
    """Share that no choice has seen: the reported figures and the gate."""

    reserve: float = Field(default=0.1, ge=0, le=1)
    """Share that training never touches: later traffic, for the demo and for monitoring's tests."""

    unlabelled: float = Field(default=0.0, ge=0, le=1)
    """Share whose labels are dropped at once: texts that nobody labelled, for self-training. Near-duplicates go here
    instead of to train, where there is such a share."""

    train_texts: int | None = Field(default=None, ge=1)
    """Number of texts to learn from. With it the split goes by numbers, not by shares: `validation_texts` and
    `test_texts` are needed too. Near-duplicates all go here; where they are more than this, held-out parts shrink."""

    validation_texts: int | None = Field(default=None, ge=1)
    """Number of texts to choose by."""

    test_texts: int | None = Field(default=None, ge=1)
    """Number of texts that no choice has seen."""

    reserve_texts: int = Field(default=0, ge=0)
    """Number of texts that training never touches, where the split goes by numbers."""

    unlabelled_texts: int = Field(default=0, ge=0)
    """Number of texts whose labels are dropped at once, where the split goes by numbers."""

    @model_validator(mode="after")
    def _all_numbers_or_none(self) -> SplitConfig:
        given = [self.train_texts, self.validation_texts, self.test_texts]
        if any(given) and not all(given):
            raise ValueError("give train_texts, validation_texts and test_texts together, or none of them")
        if (self.reserve_texts or self.unlabelled_texts) and not all(given):
            raise ValueError(
                "reserve_texts and unlabelled_texts need train_texts, validation_texts and test_texts beside them"
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
        return self.train + self.validation + self.test + self.reserve + self.unlabelled

    def numbers(self) -> dict[str, int]:
        """Part → texts, where the split goes by numbers; else nothing."""
        if self.train_texts is None or self.validation_texts is None or self.test_texts is None:
            return {}
        parts = {
            "train": self.train_texts, "validation": self.validation_texts, "test": self.test_texts,
            "reserve": self.reserve_texts, "unlabelled": self.unlabelled_texts,
        }  # fmt: skip
        return {name: count for name, count in parts.items() if count}

    def shares(self) -> dict[str, float]:
        """Part → share, without the parts that get nothing."""
        parts = {
            "train": self.train, "validation": self.validation, "test": self.test, "reserve": self.reserve,
            "unlabelled": self.unlabelled,
        }  # fmt: skip
        return {name: share for name, share in parts.items() if share > 0}


class DataConfig(BaseModel):
    """Where the texts come from.

    Usage::

        DataConfig()                                                        # BBC News, from a package
        DataConfig(source="ag_news", hub_splits=("train",))                 # from the hub
        DataConfig(source="tickets.csv", text_column=["subject", "body"], label_column="team")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = PACKAGED
    """`bbc_news` (packaged), a path to a CSV, TSV, Parquet or JSONL file, or the name of a data set on the hub."""

    hub_config: str | None = None
    """Configuration of a hub data set that has several."""

    hub_splits: tuple[str, ...] | None = None
    """Splits of a hub data set to read, one after the other; None reads all. They are divided anew by `split`."""

    header: bool = True
    """Whether the first row of a CSV or TSV file holds the column names."""

    column_names: tuple[str, ...] | None = None
    """Names of a CSV or TSV file's columns by position, where there is no header or to override it. Without header
    and names the columns are called `1`, `2`, …"""

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """What separates the columns of a text file; None: a comma in `.csv`, a tab in `.tsv`."""

    encoding: str = "utf-8"
    """Encoding of a text file. Rows that it cannot decode are counted as unreadable."""

    text_column: str | tuple[str, ...] | None = None
    """Column of the text; several are joined by `. `. None: found by a common name (`text`, `content`, `review`, …)."""

    label_column: str | None = None
    """Column of the label. None: found by a common name (`label`, `category`, `topic`, …)."""

    label_names: dict[str, str] = Field(default_factory=dict)
    """Label as it stands in the source → its name (`{1: world}`); a label that is not listed keeps its own name."""

    label_bins: dict[str, float | None] = Field(default_factory=dict)
    """Classes for a numeric label, such as a score: name → the highest value that belongs to it, rising; null for the
    last leaves it open: `{negative: -0.5, neutral: 0.5, positive: null}`. A row whose label is no number, or lies
    above the last bound, counts as unlabelled. Empty: labels are taken as they are."""

    limit: int | None = Field(default=None, ge=2)
    """At most so many texts, drawn by the seed with each class in proportion; None: all."""

    split: SplitConfig = Field(default_factory=SplitConfig)
    """How the texts are divided."""

    near_duplicate_similarity: float = Field(default=0.8, gt=0, le=1)
    """Texts whose sets of three-word runs overlap by this much (Jaccard) are near-duplicates and share one part."""

    live: LiveConfig | None = None
    """Labelled live texts to learn from, and to be judged by, beside the source's; `{}` takes them from the prediction
    store. None: there are none."""

    checks: ChecksConfig = Field(default_factory=ChecksConfig)
    """From where on a fault of the data is a warning, or stops the run."""

    max_refused: float = Field(default=0.05, ge=0, lt=1)
    """Share of empty, unlabelled and unreadable rows past which the source is refused."""

    @field_validator("label_names", mode="before")
    @classmethod
    def _labels_as_text(cls, names: Any) -> Any:
        # YAML reads {1: world} as a number and {true: customer} as a boolean.
        return {str(key): str(value) for key, value in names.items()} if isinstance(names, dict) else names

    @field_validator("label_bins")
    @classmethod
    def _rising_bins(cls, bins: dict[str, float | None]) -> dict[str, float | None]:
        check_bins(bins)
        return bins

    @property
    def text_columns(self) -> tuple[str, ...] | None:
        """The given text columns as a tuple; None when they are to be found."""
        return (self.text_column,) if isinstance(self.text_column, str) else self.text_column
