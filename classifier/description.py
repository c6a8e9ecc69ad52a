"""`classifier.json`: what a bundle's model is and how to run it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from classifier.cleaning import TextCleaning
from classifier.errors import BundleDamaged, BundleIncomplete, BundleVersionUnknown

FORMAT_VERSION = 1
DESCRIPTION_FILE = "classifier.json"


class Description(BaseModel):
    """How to run the model of one bundle.

    Usage::

        Description(kind="onnx", model_file="model.onnx", labels=("sport", "tech"), max_length=128).write(folder)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    """Layout of the bundle; raised when a reader of the old layout would go wrong."""

    kind: str = Field(min_length=1)
    """Which runtime loads it (`classifier.runtimes`): `onnx`, `sklearn`, `catboost`, `static_linear`, `cascade`."""

    model_file: str
    """The file to run, relative to the bundle: `model.onnx`, `model.int8.onnx`, `pipeline.skops` or `model.cbm`."""

    labels: tuple[str, ...] = Field(min_length=2)
    """Label names in the order of the model's outputs."""

    max_length: int | None = Field(default=None, ge=3)
    """Tokens that the model reads, special tokens included; the rest of a text is cut. None: reads everything."""

    temperature: float = Field(default=1.0, gt=0)
    """Logits are divided by it before the softmax (calibration, Guo et al. 2017, arXiv:1706.04599)."""

    clean: TextCleaning | None = None
    """What is taken out of every text before the model reads it; None: nothing. Left out of the file where it is None,
    so that a bundle without it is read by releases that do not know it."""

    candidate: str = ""
    """Name of the candidate in its experiment, for people: `minilm`, `tfidf_logreg`."""

    @field_validator("model_file")
    @classmethod
    def _file_inside(cls, name: str) -> str:
        # Else the hashes would not cover what is run.
        if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).name:
            raise ValueError(f"model_file must be a file of the bundle, got {name!r}")
        return name

    @field_validator("labels")
    @classmethod
    def _labels_distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError(f"labels must be distinct, got {labels}")
        return labels

    def write(self, folder: Path) -> None:
        """Write `classifier.json` into `folder`."""
        fields = self.model_dump(exclude={"clean"} if self.clean is None else None)
        text = json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
        (folder / DESCRIPTION_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read `classifier.json` from `folder`.

        Raises:
            BundleIncomplete: the file is missing.
            BundleVersionUnknown: its format version is not FORMAT_VERSION.
            BundleDamaged: it is not valid.
        """
        path = folder / DESCRIPTION_FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BundleIncomplete(f"{path} is missing: {folder} is not a classifier bundle") from None
        except ValueError as error:
            raise BundleDamaged(f"{path} is not valid JSON: {error}") from None
        version = raw.get("format_version") if isinstance(raw, dict) else None
        if version != FORMAT_VERSION:
            raise BundleVersionUnknown(
                f"{path} has format version {version!r}; this code reads version {FORMAT_VERSION}. "
                "Train again, or run the release that wrote it."
            )
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise BundleDamaged(f"{path} is not a valid description: {error}") from None
