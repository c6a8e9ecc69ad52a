"""The signals `predicted_label` and `confidence`: the answers of the model."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from monitoring.drift.categorical import CategoricalSignal
from monitoring.drift.numeric import NumericSignal
from monitoring.drift.signal import DriftData, Sides, SignalSettings, register_signal


class PredictedLabelSettings(SignalSettings):
    """Effect floor of `predicted_label`."""

    monitoring_min_label_shift: float = Field(default=0.1, ge=0, le=1)
    """Effect floor of the mix of predicted labels: Jensen-Shannon distance."""


@register_signal
class PredictedLabel(CategoricalSignal):
    """Mix of the predicted labels."""

    name, title, unit, order = "predicted_label", "Predicted labels", "% of answers", 40
    settings_class = PredictedLabelSettings
    settings: PredictedLabelSettings

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_LABEL_SHIFT."""
        return self.settings.monitoring_min_label_shift

    def sides(self, data: DriftData) -> Sides:
        """One predicted label per answer."""
        answers = data.window.answers
        return Sides(
            list(data.reference["predicted"]),
            [row.label for row in answers],
            times=[row.created_at for row in answers],
        )

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
