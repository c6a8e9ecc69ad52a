"""The `behaviour` and `analysis` sections of an experiment file."""

from __future__ import annotations

from pydantic import Field

from training.config.base import ConfigModel


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
