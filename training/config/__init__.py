"""Sections of experiment files: their keys, with defaults, limits and explanations."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConfigModel(BaseModel):
    """A section of an experiment file: immutable, without unknown keys, its fields described by their docstrings.

    The docstrings are the text of `python -m training explain` and of the JSON schema.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )
