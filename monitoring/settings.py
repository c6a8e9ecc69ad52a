"""Settings of the monitoring job; those of registry, prediction store and signing key are in `stores.settings`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from monitoring.errors import BadWindow
from monitoring.times import LONGEST, seconds_of
from stores.settings import PredictionSettings, TrafficSettings, VarSettings

MLFLOW_EXPERIMENT = "monitoring"
"""Experiment whose runs are the checks."""
_LONGEST_DAYS = LONGEST / 86_400
_MOST_ROWS = 2**62
"""More than any store has; SQL has no larger whole numbers."""


class MonitoringSettings(VarSettings, TrafficSettings):
    """What a check looks at, when it speaks, and when it is silent."""

    model_config = SettingsConfigDict(allow_inf_nan=False)

    monitoring_window: str = "24h"
    """How far back a check looks: a number and s, m, h or d."""

    monitoring_alpha: float = Field(default=0.01, gt=0, lt=0.5)
    """Chance of a false drift alarm in one check, over all signals together; intervals of accuracy have 1 − alpha."""

    monitoring_alarm_days: float = Field(default=182, ge=1, le=_LONGEST_DAYS)
    """Days in which repeated checks of unchanged traffic raise at most one false alarm, in expectation: the longer, the
    more certain a change must be before alerts and retraining follow it."""

    monitoring_permutations: int = Field(default=4999, ge=999, le=1_000_000)
    """Windows drawn to learn what chance alone does to a signal; what is rarer than one of them is extrapolated."""

    monitoring_min_texts: int = Field(default=50, ge=20, le=_MOST_ROWS)
    """Distinct texts below which drift is not judged."""

    monitoring_max_texts: int = Field(default=2000, ge=100, le=1_000_000)
    """Predictions of a window, and texts of the reference, that are compared; more are sampled, so that cost does not
    grow with traffic."""

    monitoring_min_labels: int = Field(default=30, ge=10)
    """Labels that must have come back before accuracy is judged."""

    monitoring_min_accuracy: float | None = Field(default=None, ge=0, le=1)
    """Accuracy surely below it is a breach. Unset: the lower end of the interval of what the version reached at
    registration, less MONITORING_MAX_ACCURACY_FALL."""

    monitoring_min_macro_f1: float | None = Field(default=None, ge=0, le=1)
    """Macro-F1 surely below it is a breach. Unset: derived in the same way."""

    monitoring_max_accuracy_fall: float = Field(default=0.05, ge=0, le=1)
    """A fall since registration that surely exceeds it is a breach."""

    monitoring_max_class_fall: float = Field(default=0.15, ge=0, le=1)
    """A fall of one class's F1 since registration that surely exceeds it is a breach."""

    monitoring_show_texts: bool = False
    """Whether reports may quote live and reference texts. False: figures, pictures and single words only."""

    monitoring_keep_reports: int = Field(default=200, ge=1, le=_MOST_ROWS)
    """Reports kept under `var/monitoring`; older ones are removed."""

    monitoring_experiment: str | None = None
    """Experiment that `--on-breach retrain` runs, as `training run` takes it. Unset: the one that made the champion."""

    retrain_windows: int = Field(default=3, ge=1, le=2000)
    """How many of the last windows that do not overlap `--on-breach retrain` looks at; one with too little data does
    not count."""

    retrain_breaches: int = Field(default=2, ge=1)
    """How many of them must be in breach before it retrains."""

    retrain_cooldown: str = "24h"
    """From the beginning of one retraining to the next, whatever came of it: a number and s, m, h or d."""

    retrain_min_labels: int = Field(default=200, ge=1)
    """Different texts with labels that there must be since the breach began before it retrains."""

    retrain_set: str | None = None
    """Further keys of the experiment for a retraining, as `--set` takes them, separated by blanks:
    `data.live.per_class=1000 candidates.minilm_3=null`. The new version does not carry them."""

    alert_urls: SecretStr | None = None
    """Where `--on-breach alert` and `retrain` tell people: Apprise addresses (`mailto://…`, `slack://…`, `json://…`),
    separated by blanks or commas."""

    alert_reminder_hours: float = Field(default=24, gt=0, le=24 * _LONGEST_DAYS)
    """Hours after which an ongoing breach is reported again."""

    alert_reports_url: str | None = None
    """Address under which people can open `var/monitoring`, for the links in alerts. Unset: the path of the file."""

    @field_validator("monitoring_window", "retrain_cooldown")
    @classmethod
    def _a_duration(cls, duration: str) -> str:
        try:
            seconds_of(duration)
        except BadWindow as error:
            raise ValueError(str(error)) from None
        return duration

    @field_validator("retrain_breaches")
    @classmethod
    def _possible(cls, breaches: int, info: ValidationInfo) -> int:
        windows = info.data.get("retrain_windows", breaches)
        if breaches > windows:
            raise ValueError(f"RETRAIN_WINDOWS looks at {windows} windows only")
        return breaches

    @property
    def channels(self) -> list[str]:
        """The addresses of ALERT_URLS."""
        value = self.alert_urls.get_secret_value() if self.alert_urls else ""
        return (
            list(dict.fromkeys(re.split(r"\s+|,(?=\s*[a-zA-Z][a-zA-Z0-9+.-]*://)", value.strip())))
            if value.strip()
            else []
        )


class RetentionSettings(PredictionSettings):
    """What `python -m monitoring prune` forgets."""

    model_config = SettingsConfigDict(allow_inf_nan=False)

    retention_days: float | None = Field(default=None, gt=0, le=_LONGEST_DAYS)
    """`python -m monitoring prune` deletes predictions, and their labels, after so many days. Unset: never."""

    retention_rows: int | None = Field(default=None, ge=1, le=_MOST_ROWS)
    """It deletes the oldest predictions beyond so many. Unset: none."""

    retention_sample_days: float | None = Field(default=None, gt=0, le=_LONGEST_DAYS)
    """Age in days after which it keeps only a share of the unlabelled predictions. Unset: all."""

    retention_sample: float = Field(default=0.1, ge=0, le=1)
    """That share."""

    retention_text_days: float | None = Field(default=None, gt=0, le=_LONGEST_DAYS)
    """After so many days predictions lose their text; label, scores and token count stay. Unset: never."""

    retention_text: Literal["remove", "hash"] = "remove"
    """What is left of a text then: nothing, or its HMAC-SHA256, by which repeated texts are still known."""
