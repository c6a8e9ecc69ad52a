"""Which live texts join the data: the section `data.live` of an experiment file."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

STORE = "predictions"


class LiveConfig(BaseModel):
    """Labelled live texts beside those of the source.

    Usage::

        LiveConfig()                                    # from the prediction store, newest first
        LiveConfig(source="labelled.jsonl")             # from a file with a text and a label column
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    source: str = STORE
    """`predictions`: the prediction store at PREDICTIONS_URL; else the path to a CSV, TSV, Parquet or JSONL file."""

    model_name: str | None = None
    """Of which model's predictions in the store. None: the experiment's, or else the setting MODEL_NAME."""

    since: datetime | None = None
    """Predictions from then on: ISO 8601, UTC unless it says otherwise. None: all that the store holds."""

    until: datetime | None = None
    """Predictions before then. None: all until now. With it the same run finds the same texts again."""

    traffic_since: datetime | None = None
    """From when on they are the traffic of today. The held-out texts from then on become the reference that monitoring
    compares with; older ones are learned from and judged by all the same. None: all are."""

    per_class: int = Field(default=500, ge=1)
    """At most so many of a class, the newest, so that a class that is labelled often does not crowd out the others."""

    validation: float = Field(default=0.15, ge=0, lt=1)
    """Share of them to choose by."""

    test: float = Field(default=0.35, gt=0, lt=1)
    """Share of them that no choice has seen: there the gate judges winner and champion on live texts, too."""

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
