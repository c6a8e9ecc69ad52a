"""What is taken out of a text before a model reads it: links and mentions, where a bundle says so.

The model learned from texts without them, so the classifier takes them out of every text that it is given.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_LINK = re.compile(
    r"""(?:https?://|(?<![\w.])(?:www\.|t\.co/|pic\.twitter\.com/))[^\s<>"']*[^\s<>"'.,;:!?()\[\]{}]""",
    re.IGNORECASE,
)
"""A web address; the punctuation after it is not part of it."""
_MENTION = re.compile(r"(?<![\w@\uff20])[@\uff20]\w(?:[\w.@\uff20]*\w)?")
"""A user's name after @, with its server where it has one; not the second half of an e-mail address."""
_BLANKS = re.compile(r"[ \t]{2,}")


def _replacement(value: object) -> object:
    return {True: "", False: None}.get(value, value) if isinstance(value, bool) else value


Replacement = Annotated[Annotated[str, Field(max_length=40)] | None, BeforeValidator(_replacement)]


class TextCleaning(BaseModel):
    """What is taken out of each text, in training and in serving alike.

    Usage::

        TextCleaning(links="", mentions="@user").apply("@anna see https://t.co/x")    # '@user see'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    links: Replacement = None
    """What web addresses are replaced with. `true` or an empty text removes them; null leaves them."""

    mentions: Replacement = None
    """What @names are replaced with. `true` or an empty text removes them; null leaves them."""

    @model_validator(mode="after")
    def _same_again(self) -> TextCleaning:
        # A text may be cleaned twice: once for training, and again by the classifier that is judged on it.
        for given in (self.links, self.mentions):
            if given and self.apply(given) not in (given, given.strip()):
                raise ValueError(
                    f"the replacement {given!r} would itself be replaced, by {self.apply(given)!r}: choose another"
                )
        return self

    @property
    def changes(self) -> bool:
        """Whether anything is taken out at all."""
        return self.links is not None or self.mentions is not None

    def apply(self, text: str) -> str:
        """The text as the model reads it; cleaning it again changes nothing."""
        found = text
        # Blanks around each replacement, so that what stood before and after it does not become a new link or name.
        if self.links is not None:
            found = _LINK.sub(lambda _: f" {self.links} ", found)
        if self.mentions is not None:
            found = _MENTION.sub(lambda _: f" {self.mentions} ", found)
        return _BLANKS.sub(" ", found).strip() if found != text else text
