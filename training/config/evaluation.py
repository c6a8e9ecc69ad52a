"""The `behaviour`, `analysis` and `gate` sections of an experiment file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training.config import ConfigModel


class BehaviourConfig(ConfigModel):
    """Behavioural tests of the winner; their limits are in `gate.behaviour`."""

    texts: int = Field(default=100, ge=0)
    """Number of test texts to perturb, sampled by the seed; 0 disables the tests. Each text costs about eight
    predictions."""

    typos: float = Field(default=0.05, gt=0, le=1)
    """Share of the longer words that get a typo; at least one per text."""

    tolerance: float = Field(default=0.05, ge=0, lt=1)
    """Tolerated relative loss of a class's probability when characteristic words of the class are added."""

    minimum: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Label → short texts that must get this label. Default: texts made of the label's most characteristic words in the
    training part."""

    words: int = Field(default=20, ge=5)
    """Number of characteristic words per class, used to make short texts and to extend texts."""

    examples: int = Field(default=5, ge=0)
    """Failures shown per test in the report."""


class AnalysisConfig(ConfigModel):
    """Error analysis.

    Its pages and tables quote texts. They are in the run's report folder and in MLflow.
    """

    mistakes: int = Field(default=50, ge=0)
    """Number of confident mistakes on the test part to list."""

    label_errors: bool = True
    """Search for probable label errors (cleanlab) in the training, validation and test parts."""

    label_error_texts: int = Field(default=10_000, ge=50)
    """Maximum training texts of the model that finds label errors, sampled by the seed. It is cross-validated in five
    folds, so every text is predicted by a model that was not trained on it."""

    texts_in_bundle: bool = False
    """Include pages and tables that quote texts in the bundle, where everyone who serves it can read them."""


class BehaviourLimits(ConfigModel):
    """Limits of the behavioural tests (training/evaluation/behaviour.py); null: reported only."""

    invariance_min: float | None = Field(default=0.8, ge=0, le=1)
    """Minimum share of texts that keep their label under perturbed case, spelling, names or punctuation; per kind."""

    direction_min: float | None = Field(default=0.8, ge=0, le=1)
    """Minimum share of texts whose class does not become less probable when its characteristic words are added."""

    minimum_min: float | None = Field(default=0.8, ge=0, le=1)
    """Minimum accuracy on short texts of characteristic words."""

    on_failure: Literal["block", "warn"] = "warn"
    """Whether a missed limit blocks the promotion or only warns."""


class GateConfig(ConfigModel):
    """Conditions under which the winner replaces the champion.

    Limits apply to the first champion as well; a limit set to null is only reported.
    """

    min_gain: float = 0.0
    """Minimum of the lower bound of the confidence interval of the macro-F1 difference to the champion."""

    prefer: Literal["better", "cheaper"] = "better"
    """`better`: the winner must be shown to be better than the champion. `cheaper`: a cheaper winner need only be shown
    not to be worse by more than `noninferiority_margin`."""

    noninferiority_margin: float = Field(default=0.01, gt=0, lt=1)
    """With `prefer: cheaper`, the loss of macro-F1 that a cheaper winner must be shown not to reach: the lower bound of
    the one-sided interval of the difference, of level `confidence`, must lie above minus this margin."""

    cheaper_factor: float = Field(default=0.5, gt=0, lt=1)
    """Cheaper means at most this share of the champion's median latency or of its size, and not more of the other."""

    min_macro_f1: float | None = Field(default=None, ge=0, le=1)
    """Minimum macro-F1 on the test part."""

    max_class_fall: float | None = Field(default=0.05, ge=0, le=1)
    """Maximum fall of the F1 of a class against the champion's on the same texts."""

    class_fall_certainty: float = Field(default=0.8, gt=0.5, lt=1)
    """Confidence, over all classes together, with which a larger fall must be shown to block. Higher values tolerate
    more noise of small classes."""

    max_latency_ms_p50: float | None = Field(default=None, gt=0)
    """Maximum median latency of a single text in ms, on the training machine."""

    max_latency_ms_p95: float | None = Field(default=None, gt=0)
    """Maximum 95th percentile of the latency of a single text in ms."""

    max_megabytes: float | None = Field(default=None, gt=0)
    """Maximum size of the served files in MB."""

    max_calibration_error: float | None = Field(default=None, ge=0, le=1)
    """Maximum expected calibration error on the test part, after temperature scaling."""

    behaviour: BehaviourLimits = Field(default_factory=BehaviourLimits)
    """Limits of the behavioural tests."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence level of all intervals of the report."""

    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples per interval."""
