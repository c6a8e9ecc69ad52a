"""The tables. A change here needs a migration in `migrations/versions`; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()
REQUEST_ID_LENGTH = 64

# Times are seconds since the epoch, UTC, as floats: one type that SQLite and PostgreSQL keep alike.

predictions = Table(
    "predictions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", Float(53), nullable=False),
    Column("request_id", String(REQUEST_ID_LENGTH)),
    Column("source", String(32), nullable=False),
    Column("model_name", String(256), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("model_alias", String(64)),
    Column("text", Text, nullable=False),
    Column("label", String(256), nullable=False),
    Column("score", Float(53), nullable=False),
    Column("scores", JSON, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Index("ix_predictions_created_at", "created_at"),
    Index("ix_predictions_model", "model_name", "model_version", "created_at"),
)

# Every label that was ever given; the newest of a prediction is the one in force.
feedback = Table(
    "feedback",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("prediction_id", String(32), ForeignKey("predictions.id", ondelete="CASCADE"), nullable=False),
    Column("label", String(256), nullable=False),
    Column("source", String(32), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Index("ix_feedback_prediction", "prediction_id", "id"),
    Index("ix_feedback_created_at", "created_at"),
)
