"""References to models, as settings, options and experiment files name them: parsed here, once, for every command.

| form | what it names |
|---|---|
| `champion`, `challenger`, `previous` | the version that this alias of the configured model points to |
| `7` | that version of the configured model |
| `latest` | the version of the configured model that was registered last |
| `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `models:/NAME/latest` | the same of the model NAME |
| `runs:/RUN_ID/PATH` | a bundle that was logged in an MLflow run, registered or not; PATH is `model` in this project |
| a folder | a bundle on this machine; one whose name reads like another form is written `./champion` |

Usage::

    reference = ModelRef.parse("models:/news@champion")
    reference.name, reference.alias     # "news", "champion"

Nothing here imports MLflow; `stores.bundles` finds what a reference names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stores.errors import BadModelReference, NameRefused
from stores.names import check_alias, check_model_name

if TYPE_CHECKING:
    from stores.settings import TrackingSettings

ALIASES = ("champion", "challenger", "previous")
LATEST = "latest"
FORMS = (
    "champion, challenger, previous, latest, a version's number, models:/NAME/VERSION, models:/NAME@ALIAS, "
    "models:/NAME/latest, runs:/RUN_ID/PATH, or the folder of a bundle"
)
"""The accepted forms, for messages and the help of options."""
_VERSION = re.compile(r"0*[1-9][0-9]{0,9}", re.ASCII)
_RUN = re.compile(r"runs:/(?P<run>[0-9a-zA-Z_-]{1,64})/(?P<path>[^/\s][^\s]*)")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What a reference names: exactly one of `version`, `alias`, `latest`, `run_id` and `folder` is given."""

    text: str
    """As it was written."""
    name: str | None = None
    """The registered model; None: the configured one."""
    version: str | None = None
    alias: str | None = None
    latest: bool = False
    run_id: str | None = None
    path: str | None = None
    """Where in the run the model was logged."""
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str | int | Path) -> ModelRef:
        """The reference that `text` is.

        Raises:
            BadModelReference: it has none of the forms, or names a model or alias that cannot exist.
        """
        if isinstance(text, Path):
            return cls(str(text), folder=text)
        text = str(text)
        if text != text.strip() or not text or "\0" in text:
            raise _bad(text)
        if text in ALIASES:
            return cls(text, alias=text)
        if text == LATEST:
            return cls(text, latest=True)
        if _VERSION.fullmatch(text):
            return cls(text, version=str(int(text)))
        if text.startswith("models:"):
            return cls._registered(text)
        if text.startswith("runs:"):
            if match := _RUN.fullmatch(text.rstrip("/")):
                return cls(text, run_id=match["run"], path=match["path"])
            raise _bad(text)
        # A path that has a separator is one, whether or not it is there yet; else it has to be there.
        if "://" not in text and ("/" in text or Path(text).is_dir()):
            return cls(text, folder=Path(text))
        raise _bad(text)

    @classmethod
    def _registered(cls, text: str) -> ModelRef:
        rest = text.removeprefix("models:/")
        if rest == text or rest.startswith("/"):
            raise _bad(text)
        name, separator, which = rest.rpartition("@") if "@" in rest else rest.rpartition("/")
        if not separator or not which:
            raise _bad(text)
        try:
            check_model_name(name)
            if separator == "@":
                check_alias(which)
        except NameRefused as error:
            raise _bad(text, str(error)) from None
        if separator == "@":
            return cls(text, name, alias=which)
        if which == LATEST:
            return cls(text, name, latest=True)
        if _VERSION.fullmatch(which):
            return cls(text, name, version=str(int(which)))
        raise _bad(text)

    @classmethod
    def configured(cls, settings: TrackingSettings) -> ModelRef:
        """What MODEL_URI names, or else MODEL_ALIAS of MODEL_NAME.

        Raises:
            BadModelReference: see `parse`.
        """
        if settings.model_uri is not None:
            return cls.parse(settings.model_uri)
        return cls(f"models:/{settings.model_name}@{settings.model_alias}", alias=settings.model_alias)

    @property
    def is_registered(self) -> bool:
        """Whether it names a version of a registered model."""
        return self.folder is None and self.run_id is None

    def __str__(self) -> str:
        return self.text


def _bad(text: str, why: str = "") -> BadModelReference:
    shown = repr(text if len(text) <= 120 else text[:119] + "…")
    return BadModelReference(f"{shown} names no model{f' ({why})' if why else ''}: give {FORMS}")
