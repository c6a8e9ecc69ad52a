"""Every kind of candidate that an experiment file may name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from training.candidates.config import CatBoostConfig, LogregConfig, NetworkConfig, PerceptronConfig
from training.distillation.config import DistilledConfig, DistilledLinearConfig

Candidate = Annotated[
    NetworkConfig
    | LogregConfig
    | PerceptronConfig
    | CatBoostConfig
    | DistilledConfig
    | DistilledLinearConfig,
    Field(discriminator="kind"),
]
"""Any candidate; its `kind` says which."""
