"""Schemas of answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


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
    stage: str | None = Field(
        default=None, description="Stage of the cascade that answered; missing where the model has no stages."
    )


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


class Int8Card(BaseModel):
    """The int8 file on this processor against the float32 probabilities that the bundle holds."""

    texts: int = Field(ge=1, description="Texts that were compared.")
    agreement: float = Field(ge=0, le=1, description="Share of them with float32's label.")
    max_difference: float = Field(ge=0, le=1, description="Largest difference of one probability.")
    accepted: bool = Field(
        description="Whether both are within what the bundle allows; if not, float32 runs."
    )


class CascadeAgreement(BaseModel):
    """Share of audited early answers with the label that all stages give."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1, description="Lower end of the 95 % interval.")
    high: float = Field(ge=0, le=1, description="Upper end of it.")


class CascadeCard(BaseModel):
    """A cascade's stages, and what they answered since the process began."""

    stages: list[str] = Field(description="The cheapest first; all but the last answer early.")
    texts: dict[str, int] = Field(description="Texts by the stage that answered.")
    early_share: float | None = Field(
        ge=0, le=1, description="Share of the texts that were answered early; null before the first."
    )
    audit_rate: float = Field(ge=0, le=1, description="CASCADE_AUDIT_RATE.")
    audited: int = Field(ge=0, description="Early answers whose text went through all stages.")
    agreed: int = Field(ge=0, description="Of those, how many got the same label.")
    agreement: CascadeAgreement | None = Field(description="Null before the first audit.")


class KeysCard(BaseModel):
    """The API keys in force."""

    keys: int = Field(description="How many are accepted.")
    loaded_at: str | None = Field(description="When API_KEYS_FILE was read; null where it is not set.")
    problem: str | None = Field(
        description="Why the newest content of API_KEYS_FILE is not in force; the keys before it are."
    )


class EraseAnswer(BaseModel):
    """What was erased."""

    erased: str = Field(description="The prediction's id.")


class PredictionsCard(BaseModel):
    """Where predictions are kept now."""

    policy: Literal["require", "spool"] = Field(description="PREDICTIONS_POLICY.")
    store: Literal["available", "unavailable"]
    problem: str | None = Field(description="Why the store takes no predictions; null: it does.")
    since: str | None = Field(description="Since when the store is what `store` says; null: not asked yet.")
    spooled_rows: int = Field(description="Predictions in the local spool that wait for the store.")
    spooled_bytes: int
    oldest_spooled: str | None = Field(description="When the first of them was answered.")
    damaged_rows: int = Field(
        description="Spooled predictions that could not be read, or that the store refuses; kept in files."
    )


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
    int8: Int8Card | None = Field(
        default=None, description="Null where the bundle holds one file, or float32 was asked for."
    )
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
    cascade: CascadeCard | None = Field(default=None, description="Null where the model has no stages.")
    keys: KeysCard | None = Field(default=None, description="Null where no key is needed.")
    predictions: PredictionsCard | None = Field(
        default=None, description="Null where LOG_PREDICTIONS is false."
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
