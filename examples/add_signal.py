"""Add a drift signal, the percentage of URLs among the words of a text, and run a check with it.

`python -m examples.add_signal` checks the last 24 hours of the served model (after `make demo`, for instance). To have
the signal in every check, put both classes into a file in `monitoring/drift/`; nothing else has to be edited: the
signal is in verdict.json, in the report with its histogram, in metrics and history, and in docs/settings.md.
"""

import time

import numpy as np
from pydantic import Field

from monitoring.check import run_check
from monitoring.drift.numeric import NumericSignal
from monitoring.drift.signal import DriftData, Sides, SignalSettings, register_signal
from monitoring.settings import MonitoringSettings
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings


class UrlSettings(SignalSettings):
    """Effect floor of `urls`: a change below it is no breach, however significant."""

    monitoring_min_url_shift: float = Field(default=0.2, ge=0)
    """Effect floor of URLs: Wasserstein distance in standard deviations of the reference."""


@register_signal
class Urls(NumericSignal):
    """Percentage of URLs among the words of each text."""

    name, title, unit = "urls", "URLs", "% of words"
    settings_class = UrlSettings
    settings: UrlSettings
    needs_text = True
    possible_cause = "texts with links, such as advertisements"

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_URL_SHIFT."""
        return self.settings.monitoring_min_url_shift

    def sides(self, data: DriftData) -> Sides:
        """One percentage per text; the base class has the score, the wording and the picture."""
        return Sides(percentages(data.reference_texts), percentages(data.window_texts))


def percentages(texts: list[str]) -> np.ndarray:
    """Percentage of the words of each text that begin with `http`."""
    return np.array([100 * text.count(" http") / max(1, len(text.split())) for text in texts])


if __name__ == "__main__":
    now, settings, tracking = time.time(), MonitoringSettings(), TrackingSettings()
    stores = {"tracking": tracking, "predictions": PredictionSettings(), "signing": SigningSettings()}
    verdict = run_check(now - 86_400, now, settings, **stores).verdict  # type: ignore[arg-type]
    print(next(signal for signal in verdict.drift.signals if signal.name == Urls.name).model_dump_json())
