"""The signals `early_share` and `audit_agreement`: does a cascade's early stage meet the texts that it was made for?

Both need no labels. An early stage answers what it is sure of. On texts unlike those it learned from it is sure less
often, or more often, or it is sure and wrong; then the answers of all stages differ from its own more often than on the
reference. A champion without stages has neither signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from classifier.reference import ALL_STAGES, STAGE
from monitoring.drift.numeric import went
from monitoring.drift.permutation import Floats, PermutationSampler, Score, permutation_score
from monitoring.drift.signal import (
    Comparison,
    DriftData,
    DriftSignal,
    Sides,
    SignalSettings,
    register_signal,
)
from monitoring.figures import paired_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CascadeSettings(SignalSettings):
    """Effect floors of the signals of a cascade."""

    monitoring_min_early_share_change: float = Field(default=0.1, ge=0, le=1)
    """Effect floor of the share of texts that a cascade answers early: its change, up or down."""

    monitoring_min_agreement_fall: float = Field(default=0.02, ge=0, le=1)
    """Effect floor of the agreement of audited early answers with all stages of a cascade: its fall."""


class _ShareSignal(DriftSignal):
    """Base of signals with one yes or no per text."""

    settings_class = CascadeSettings
    settings: CascadeSettings
    sides_of_change: tuple[str, str]
    """Names of yes and no, for the figure."""

    def figure(self, comparison: Comparison) -> Figure:
        """Percentages of yes and no on both sides."""
        shares = [np.array([100 * share, 100 - 100 * share]) for share in _shares(comparison)]
        return paired_bars(list(self.sides_of_change), *shares, unit=self.unit)

    def features(self, comparison: Comparison) -> Floats:
        """The values themselves."""
        values: Floats = np.concatenate(_values(comparison))[:, None]
        return values


@register_signal
class EarlyShare(_ShareSignal):
    """Share of the texts that a stage before the last answered."""

    name, title, unit, order = "early_share", "Answered early", "% of answers", 62
    measure = "change of the share"
    possible_cause = "texts on which the cascade's early stage is sure more or less often"
    sides_of_change = ("early", "last stage")

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_EARLY_SHARE_CHANGE."""
        return self.settings.monitoring_min_early_share_change

    def sides(self, data: DriftData) -> Sides | None:
        """1 for each answer of an early stage, 0 for each of the last; None where the reference has no stages."""
        early = _early(data)
        if early is None:
            return None
        last = data.reference[STAGE].cat.categories[-1]
        answers = [row for row in data.window.answers if row.stage is not None]
        return Sides(
            early.astype(float),
            np.array([row.stage != last for row in answers], dtype=float),
            times=[row.created_at for row in answers],
        )

    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The absolute difference of the shares with its null."""
        return share_score(*_values(comparison), data.sampler, two_sided=True)

    def describe(self, comparison: Comparison) -> str:
        """Both shares."""
        return f"the share of texts answered early {_went(comparison)}"


@register_signal
class AuditAgreement(_ShareSignal):
    """Share of audited early answers with the label that all stages give."""

    name, title, unit, order = "audit_agreement", "Agreement of early answers", "% of audits", 64
    measure = "fall of the share"
    possible_cause = (
        "texts unlike those that the cascade's early stage learned from, of which it is sure all the same"
    )
    sides_of_change = ("same label", "other label")

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_AGREEMENT_FALL."""
        return self.settings.monitoring_min_agreement_fall

    def sides(self, data: DriftData) -> Sides | None:
        """1 for each early answer with the label of all stages, else 0; None where the reference does not say."""
        early = _early(data)
        if early is None or ALL_STAGES not in data.reference:
            return None
        agrees = (data.reference["predicted"] == data.reference[ALL_STAGES]).to_numpy()
        early &= data.reference[ALL_STAGES].notna().to_numpy()  # of accepted live texts it is not known
        audits = data.window.audits
        return Sides(
            agrees[early].astype(float),
            np.array([audit.agrees for audit in audits], dtype=float),
            times=[audit.created_at for audit in audits],
        )

    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The fall of the agreement with its null; one-sided."""
        return share_score(*_values(comparison), data.sampler, two_sided=False)

    def describe(self, comparison: Comparison) -> str:
        """Both shares."""
        return f"the share of audited early answers with the label of all stages {_went(comparison)}"

    def describe_too_few(self, comparison: Comparison) -> str:
        """How many answers were audited, and how many are needed."""
        return (
            f"{len(comparison.window)} early answers of the window were audited (CASCADE_AUDIT_RATE), and "
            f"{len(comparison.reference)} texts of the reference were answered early; {comparison.minimum} of each are "
            "needed."
        )


def share_score(reference: Floats, window: Floats, sampler: PermutationSampler, *, two_sided: bool) -> Score:
    """The fall of a share, or its change in either direction, with the null of windows drawn from both sides.

    How many of the ones a drawn window has is hypergeometric, so that no window need be drawn text by text.

    Args:
        reference: 0 or 1 a text, at least one.
        window: the same.
        sampler: how many windows, and what they are drawn with.
        two_sided: whether a rise counts as a fall does.
    """
    ones, size = int(reference.sum() + window.sum()), len(reference) + len(window)
    drawn = sampler.rng.hypergeometric(ones, size - ones, len(window), size=sampler.permutations)
    falls = (ones - drawn) / len(reference) - drawn / len(window)
    fall = float(reference.mean() - window.mean())
    return permutation_score(abs(fall), np.abs(falls)) if two_sided else permutation_score(fall, falls)


def _early(data: DriftData) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
    """Which texts of the reference were answered early; None: the champion has no stages."""
    if STAGE not in data.reference:
        return None
    stages = data.reference[STAGE].cat
    early: np.ndarray[tuple[int], np.dtype[np.bool_]] = stages.codes.to_numpy() < len(stages.categories) - 1
    return early


def _values(comparison: Comparison) -> tuple[Floats, Floats]:
    return np.asarray(comparison.reference, dtype=float), np.asarray(comparison.window, dtype=float)


def _shares(comparison: Comparison) -> tuple[float, float]:
    before, now = _values(comparison)
    return float(before.mean()), float(now.mean())


def _went(comparison: Comparison) -> str:
    before, now = _shares(comparison)
    digits = 0 if f"{before:.0%}" != f"{now:.0%}" else 1
    return went(f"{before:.{digits}%}", f"{now:.{digits}%}")
