"""Schemas of requests, and the validation of their content.

Messages name the field and the problem. They never repeat a text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from service.errors import InvalidContent

Content = TypeVar("Content", bound=BaseModel)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PREDICTION_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """How much one request may hold."""

    max_texts: int = 1000
    """Texts, or feedback items."""
    max_text_chars: int = 100_000
    """Characters of one text."""


_MAX_LABEL_CHARS = 1000


def _refuse(code: str, message: str, index: int | None = None, part: str = "") -> NoReturn:
    where = part if index is None else f"[{index}]{part}"
    # Braces are pydantic's template marks.
    raise PydanticCustomError(code, message, {"where": where})  # type: ignore[arg-type, unused-ignore]


def _limits(info: ValidationInfo) -> ContentLimits:
    found: ContentLimits = info.context or ContentLimits()
    return found


def _check_text(text: object, index: int | None, limit: int) -> str:
    if not isinstance(text, str):
        _refuse("wrong_type", "must be a string", index)
    if len(text) > limit:
        _refuse("text_too_long", f"has {len(text)} characters, and at most {limit} are taken", index)
    if not text or text.isspace():
        _refuse("empty_text", "is empty or blank: there is nothing to classify", index)
    if "\0" in text:
        _refuse("invalid_character", "holds a NUL character (U+0000), which no store can keep", index)
    if _SURROGATE.search(text):
        _refuse("invalid_character", "holds half of a surrogate pair, which is no character", index)
    return text


def _texts(value: object, info: ValidationInfo) -> str | list[str]:
    limits = _limits(info)
    if isinstance(value, str):
        return _check_text(value, None, limits.max_text_chars)
    if not isinstance(value, list):
        _refuse("wrong_type", "must be a string or a list of strings")
    if not value:
        _refuse("no_texts", "is an empty list: give at least one text")
    if len(value) > limits.max_texts:
        _refuse(
            "too_many_texts", f"has {len(value)} texts, and at most {limits.max_texts} are taken at a time"
        )
    return [_check_text(text, index, limits.max_text_chars) for index, text in enumerate(value)]


def _feedback_items(value: object, info: ValidationInfo) -> object:
    limit = _limits(info).max_texts
    if isinstance(value, list) and len(value) > limit:
        _refuse("too_many_items", f"has {len(value)} items, and at most {limit} are taken at a time")
    return value


class ClassifyRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[
        str | list[str],
        BeforeValidator(_texts),
        WithJsonSchema(
            {
                "oneOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
                ],
                "description": "One text, or a list of at most MAX_TEXTS. None may be empty or blank, hold U+0000, or "
                "have more than MAX_TEXT_CHARS characters.",
                "examples": ["Shares in London fell sharply after the bank raised rates."],
            }
        ),
    ]
    top_k: int | None = Field(
        default=None,
        ge=1,
        strict=True,
        description="How many labels to list in `scores`; all of them unless given.",
    )
    on_too_long: Literal["truncate", "error"] = Field(
        default="truncate",
        description="A text longer than the model reads: cut it and say so in `truncated`, or refuse it.",
    )

    @property
    def texts(self) -> list[str]:
        """The texts, as a list."""
        return [self.text] if isinstance(self.text, str) else self.text

    def field_of(self, position: int) -> str:
        """How the request names its text at `position`."""
        return "text" if isinstance(self.text, str) else f"text[{position}]"


class FeedbackItem(BaseModel):
    """The true label of one prediction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="The `id` of the prediction.", examples=["18a1f0c2b3d4e5f60123456789abcdef"])
    label: str = Field(
        max_length=_MAX_LABEL_CHARS,
        description="The label that is true; one that the model knows.",
        examples=["sport"],
    )

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        if isinstance(value, dict) and (unknown := _unknown_key(cls, value)):
            _refuse("unknown_field", unknown[1], part=f" {unknown[0]}")
        return value


class FeedbackRequest(BaseModel):
    """True labels of predictions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The number is looked at first, and the first wrong item ends the check.
    feedback: Annotated[list[FeedbackItem], FailFast(), BeforeValidator(_feedback_items)] = Field(
        min_length=1,
        description="Repeating a label changes nothing; another label for the same id, in a later request, replaces "
        "the earlier one, and both are kept in the history.",
    )

    @property
    def labels(self) -> dict[str, str]:
        """Prediction id → label.

        Raises:
            InvalidContent: one id has two labels, or cannot be an id.
        """
        labels: dict[str, str] = {}
        for index, item in enumerate(self.feedback):
            if not _PREDICTION_ID.fullmatch(item.id):
                raise InvalidContent(
                    f"feedback[{index}].id is not an id that this service gives", code="invalid_id",
                    field=f"feedback[{index}].id",
                )  # fmt: skip
            if labels.setdefault(item.id, item.label) != item.label:
                raise InvalidContent(
                    f"feedback[{index}] gives another label to an id that stands earlier in the same list",
                    code="conflicting_feedback",
                    field=f"feedback[{index}]",
                )
        return labels


def validated(kind: type[Content], body: object, limits: ContentLimits | None = None) -> Content:
    """`body`, which came from JSON, as `kind`; numbers and lengths are looked at before what they count.

    Args:
        kind: what a route takes.
        body: its content.
        limits: how much of it; by default those of the default settings.

    Raises:
        InvalidContent: with the code, the field and the reason of the first thing that is wrong.
    """
    if kind is ClassifyRequest and (content := _one_text(body, limits or ContentLimits())) is not None:
        return cast("Content", content)
    if not isinstance(body, dict):
        raise InvalidContent(f"the body must be a JSON object with {_fields(kind)}", code="wrong_type")
    if unknown := _unknown_key(kind, body):
        raise InvalidContent(f"{unknown[0]} {unknown[1]}", code="unknown_field", field=unknown[0])
    try:
        return kind.model_validate(body, context=limits or ContentLimits())
    except ValidationError as error:
        raise _content_error(error.errors(include_input=False, include_url=False)[0]) from None


def _one_text(body: object, limits: ContentLimits) -> ClassifyRequest | None:
    """The request of one valid text without options, which most are; None: it is to be validated."""
    if not isinstance(body, dict) or len(body) != 1:
        return None
    text = body.get("text")
    if (
        not isinstance(text, str)
        or not 0 < len(text) <= limits.max_text_chars
        or text.isspace()
        or "\0" in text
        or not (text.isascii() or _SURROGATE.search(text) is None)
    ):
        return None
    return ClassifyRequest.model_construct(text=text)


def too_many(kind: type[BaseModel], limits: ContentLimits) -> InvalidContent:
    """The error of a body of which a list has more items than the limit."""
    code, field, items = (
        ("too_many_items", "feedback", "items")
        if kind is FeedbackRequest
        else ("too_many_texts", "text", "texts")
    )
    return InvalidContent(
        f"{field} has more than {limits.max_texts} {items}, which is what is taken at a time",
        code=code,
        field=field,
    )


def too_long(kind: type[BaseModel], position: int | None, limits: ContentLimits) -> InvalidContent:
    """The error of a body of which a string, at a position of its list, is longer than any text may be."""
    name = "feedback" if kind is FeedbackRequest else "text"
    field = name if position is None else f"{name}[{position}]"
    return InvalidContent(
        f"{field} has more than {limits.max_text_chars} characters, and at most that many are taken",
        code="text_too_long",
        field=field,
    )


def _content_error(error: ErrorDetails) -> InvalidContent:
    field = _path(error["loc"]) + str(error.get("ctx", {}).get("where", ""))
    match error["type"]:
        case "missing":
            return InvalidContent(f"{field} is missing", code="missing_field", field=field)
        case "literal_error":
            expected = error["ctx"]["expected"]
            return InvalidContent(f"{field} must be {expected}", code="unknown_option", field=field)
        case "greater_than_equal" | "int_type" | "int_from_float":
            return InvalidContent(
                f"{field} must be a whole number of at least 1", code=f"invalid_{field}", field=field
            )
        case "too_short":
            return InvalidContent(
                f"{field} is an empty list: give at least one item", code=f"empty_{field}", field=field
            )
        case "string_too_long":
            return InvalidContent(
                f"{field} has more than {_MAX_LABEL_CHARS} characters, more than any label has",
                code="unknown_label",
                field=field,
            )
        case "string_type" | "list_type" | "model_type":
            wanted = {"string_type": "a string", "list_type": "a list", "model_type": "an object"}[
                error["type"]
            ]
            return InvalidContent(f"{field} must be {wanted}", code="wrong_type", field=field)
        case code:
            return InvalidContent(f"{field} {error['msg']}", code=code, field=field)


def _path(location: tuple[int | str, ...]) -> str:
    """`("feedback", 2, "label")` as `feedback[2].label`; the names are those of models, others are refused before."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else ("." if path else "") + part
    return path


def _unknown_key(kind: type[BaseModel], body: Mapping[Any, object]) -> tuple[str, str] | None:
    """The first key that the model does not have, by its place and never by its name, and a hint; or None."""
    for position, key in enumerate(body, 1):
        if key not in kind.model_fields:
            known = list(kind.model_fields)
            near = difflib.get_close_matches(str(key)[:40], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            return f"key {position}", f"is not a known field; {hint}"
    return None


def _fields(kind: type[BaseModel]) -> str:
    return " or ".join(repr(name) for name, field in kind.model_fields.items() if field.is_required())
