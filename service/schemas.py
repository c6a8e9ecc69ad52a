"""What the routes take and give, and the one place where wrong content is told from right.

Messages name the field and what is wrong with it. They never repeat a text.
"""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from service.errors import InvalidContent

Content = TypeVar("Content", bound=BaseModel)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PREDICTION_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def _refuse(code: str, message: str, index: int | None = None, part: str = "") -> NoReturn:
    where = "" if index is None else f"[{index}]{part}"
    # Braces are pydantic's template marks.
    raise PydanticCustomError(code, message, {"where": where})  # type: ignore[arg-type, unused-ignore]


def _check_text(text: object, index: int | None) -> str:
    if not isinstance(text, str):
        _refuse("wrong_type", "must be a string", index)
    if not text or text.isspace():
        _refuse("empty_text", "is empty or blank: there is nothing to classify", index)
    if "\0" in text:
        _refuse("invalid_character", "holds a NUL character (U+0000), which no store can keep", index)
    if _SURROGATE.search(text):
        _refuse("invalid_character", "holds half of a surrogate pair, which is no character", index)
    return text


def _texts(value: object) -> str | list[str]:
    if isinstance(value, str):
        return _check_text(value, None)
    if not isinstance(value, list):
        _refuse("wrong_type", "must be a string or a list of strings")
    if not value:
        _refuse("no_texts", "is an empty list: give at least one text")
    return [_check_text(text, index) for index, text in enumerate(value)]


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
                "description": "One text, or a list of them. None may be empty or blank, nor hold U+0000.",
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
    label: str = Field(description="The label that is true; one that the model knows.", examples=["sport"])


class FeedbackRequest(BaseModel):
    """True labels of predictions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feedback: list[FeedbackItem] = Field(
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


class Score(BaseModel):
    """A label and its probability."""

    label: str
    score: float = Field(ge=0, le=1)


class Prediction(BaseModel):
    """What the model says of one text."""

    id: str = Field(description="Give it back with the true label to `/feedback`.")
    label: str
    score: float = Field(ge=0, le=1, description="Calibrated probability of `label`.")
    scores: list[Score] = Field(description="The highest first; over all labels they sum to 1.")
    tokens: int = Field(ge=0, description="Tokens of the whole text.")
    truncated: bool = Field(description="Whether the model read less than the whole text.")


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: str
    alias: str | None


class ClassifyAnswer(BaseModel):
    """One prediction a text, in the order asked."""

    model: ModelName
    predictions: list[Prediction]


class FeedbackAnswer(BaseModel):
    """What became of the feedback."""

    accepted: int = Field(ge=0, description="Predictions that now have this label.")
    unknown: list[str] = Field(description="Ids of no prediction.")


class LabelAgreement(BaseModel):
    """One label that the champion gave."""

    texts: int = Field(ge=0)
    agreed: int = Field(ge=0, description="Of those, how many the challenger gave the same label.")


class ChallengerCard(BaseModel):
    """The model that is tried beside the champion."""

    version: str
    candidate: str
    loaded_at: str
    canary_share: float = Field(ge=0, le=1, description="Share of the requests that it answers.")
    shadow_rate: float = Field(ge=0, le=1, description="Share of the texts that it classifies unseen.")
    texts: int = Field(ge=0, description="Texts that it classified in the champion's shadow.")
    agreed: int = Field(ge=0, description="Of those, how many it gave the champion's label.")
    labels: dict[str, LabelAgreement] = Field(description="The same by the champion's label.")


class ModelCard(BaseModel):
    """The model that answers now."""

    name: str
    version: str
    alias: str | None
    candidate: str
    labels: list[str]
    max_length: int | None = Field(
        description="Tokens that it reads of a text; null when it reads everything."
    )
    file: str = Field(description="The file of the bundle that runs, such as `model.int8.onnx`.")
    device: Literal["cpu", "cuda"] = Field(description="Where it computes.")
    file_reason: str = Field(description="Why that one, with what was measured where there was a choice.")
    metrics: dict[str, float] = Field(description="Figures that training noted with this version.")
    loaded_at: str
    follows: str = Field(description="`models:/NAME@ALIAS`, or what MODEL_URI pins.")
    last_poll: str | None
    problem: str | None = Field(
        description="Why the newest look at the registry, or the newest swap, failed."
    )
    problem_at: str | None
    challenger: ChallengerCard | None = Field(
        default=None, description="Null unless SHADOW_RATE or CANARY_SHARE is set and there is one."
    )


class ErrorDetail(BaseModel):
    """Why a request was not answered."""

    code: str
    message: str
    field: str | None = Field(description="The part of the request at fault, such as `text[2]`.")
    request_id: str


class ErrorAnswer(BaseModel):
    """Every error has this form."""

    error: ErrorDetail


def validated(kind: type[Content], body: object) -> Content:
    """`body`, which came from JSON, as `kind`.

    Raises:
        InvalidContent: with the code, the field and the reason of the first thing that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidContent(f"the body must be a JSON object with {_fields(kind)}", code="wrong_type")
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _told(kind, error.errors(include_input=False, include_url=False)[0]) from None


def _told(kind: type[BaseModel], error: ErrorDetails) -> InvalidContent:
    field = _path(error["loc"]) + str(error.get("ctx", {}).get("where", ""))
    match error["type"]:
        case "missing":
            return InvalidContent(f"{field} is missing", code="missing_field", field=field)
        case "extra_forbidden":
            return InvalidContent(_unknown_field(kind, error["loc"]), code="unknown_field", field=field)
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
        case "string_type" | "list_type" | "model_type":
            wanted = {"string_type": "a string", "list_type": "a list", "model_type": "an object"}[
                error["type"]
            ]
            return InvalidContent(f"{field} must be {wanted}", code="wrong_type", field=field)
        case code:
            return InvalidContent(f"{field} {error['msg']}", code=code, field=field)


def _path(location: tuple[int | str, ...]) -> str:
    """`("feedback", 2, "label")` as `feedback[2].label`; long names, which may be a text, are cut."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + (part if len(part) <= 40 else part[:40] + "…")
    return path.encode("utf-8", "replace").decode()


def _unknown_field(kind: type[BaseModel], location: tuple[int | str, ...]) -> str:
    given = str(location[-1])
    known = list((FeedbackItem if len(location) > 1 else kind).model_fields)
    near = difflib.get_close_matches(given[:40], known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
    return f"{_path(location)} is not a known field{hint}"


def _fields(kind: type[BaseModel]) -> str:
    return " or ".join(repr(name) for name, field in kind.model_fields.items() if field.is_required())
