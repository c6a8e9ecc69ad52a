"""The `analysis` section of an experiment file: what is looked for among the mistakes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AnalysisConfig(BaseModel):
    """How much of the mistakes is written down.

    The pages and tables of the analysis quote texts. They stand in the run's report folder and in MLflow.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mistakes: int = Field(default=50, ge=0)
    """Most confidently wrong texts of the test part that are listed."""

    label_errors: bool = True
    """Whether probable label errors are looked for (cleanlab), in the training part and in both held-out parts."""

    label_error_texts: int = Field(default=10_000, ge=50)
    """Texts of the training part that are searched at most, drawn by the seed: a small model learns them five times."""

    texts_in_bundle: bool = False
    """Whether pages and tables that quote texts also travel in the bundle, where whoever serves it can read them."""
