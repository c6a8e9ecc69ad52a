"""The signals `predicted_label` and `confidence`: the answers of the model."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from monitoring.drift.categorical import CategoricalSignal
from monitoring.drift.class_shares import share_change
from monitoring.drift.numeric import NumericSignal
from monitoring.drift.permutation import Score
from monitoring.drift.signal import Comparison, DriftData, Sides, SignalSettings, register_signal


class PredictedLabelSettings(SignalSettings):
    """Effect floors of `predicted_label`."""

    monitoring_min_class_shift: float = Field(default=0.05, ge=0, le=1)
    """Effect floor of a predicted class: the change of its share of the answers; 0.05 is five percentage points."""

    monitoring_class_floors: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default={})
    """The same of single classes, as JSON: `{"Sports": 0.15, "World": 0.03}`."""

    monitoring_min_label_shift: float = Field(default=0.1, ge=0, le=1)
    """Effect floor of the whole mix of predicted labels: the share of the answers that moved between classes."""


@register_signal
class PredictedLabel(CategoricalSignal):
    """Mix of the predicted labels."""

    name, title, unit, order = "predicted_label", "Predicted labels", "% of answers", 40
    measure = "Change of a class's share of the answers, or of the mix of all classes"
    alpha_share = 0.8
    evidently_type = None
    settings_class = PredictedLabelSettings
    settings: PredictedLabelSettings

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_CLASS_SHIFT, until it is known which class decides."""
        return self.settings.monitoring_min_class_shift

    def sides(self, data: DriftData) -> Sides:
        """One predicted label per answer; of the whole reference, because counting costs nothing."""
        answers = data.window.answers
        return Sides(
            list(data.whole_reference["predicted"]),
            [row.label for row in answers],
            times=[row.created_at for row in answers],
        )

    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The change of the class that decides, with its null; sets the comparison's floor and subject."""
        reference, window = (list(map(str, side)) for side in (comparison.reference, comparison.window))
        found = share_change(
            reference,
            window,
            floors=self.settings.monitoring_class_floors,
            default_floor=self.settings.monitoring_min_class_shift,
            mix_floor=self.settings.monitoring_min_label_shift,
            permutations=data.sampler.permutations,
            rng=data.sampler.rng,
        )
        comparison.floor, comparison.subject = found.floor, found.category
        return found.score

    def clause(self, category: str, change: str) -> str:
        """`sport went from 10% to 20% of answers`."""
        return f"{category} {change} of answers"


@register_signal
class Confidence(NumericSignal):
    """Probability of the predicted label."""

    name, title, unit, order = "confidence", "Confidence", "probability", 60
    is_probability = True

    def sides(self, data: DriftData) -> Sides:
        """One probability per answer."""
        answers = data.window.answers
        return Sides(
            data.reference["confidence"].to_numpy(dtype=float),
            np.array([row.score for row in answers], dtype=float),
            times=[row.created_at for row in answers],
        )
