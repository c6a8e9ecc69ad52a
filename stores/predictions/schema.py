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
KEY_NAME_LENGTH = 64
STAGE_LENGTH = 64
PERSON_LENGTH = 64

# Times are seconds since the epoch, UTC, as floats: one type that SQLite and PostgreSQL keep alike.

predictions = Table(
    "predictions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", Float(53), nullable=False),
    Column("request_id", String(REQUEST_ID_LENGTH)),
    Column("source", String(32), nullable=False),  # where the request came from: stores.sources
    Column("model_name", String(256), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("model_alias", String(64)),
    Column("text", Text, nullable=False),
    Column("label", String(256), nullable=False),
    Column("score", Float(53), nullable=False),
    Column("scores", JSON, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("redacted_at", Float(53)),  # since then `text` holds nothing, or a hash; the features stay
    Column("seconds", Float(53)),  # how long the service took to compute the answer
    Column("key_name", String(KEY_NAME_LENGTH)),  # name of the API key that asked; NULL: no key
    Column("text_form", String(16)),  # full, redacted, hash or none; NULL: full, written by an older release
    Column("text_hash", String(64)),  # finds the text for an erasure; NULL: not kept
    Column("features", JSON(none_as_null=True)),  # what monitoring measures of a text that is not stored
    Column("stage", String(STAGE_LENGTH)),  # stage of the cascade that answered; NULL: a model without stages
    Column("audited_label", String(256)),  # what the whole cascade says of an early answer; NULL: not audited
    Index("ix_predictions_created_at", "created_at"),
    # Windows are of one model and some sources; mostly of one version, and the others are few.
    Index("ix_predictions_model", "model_name", "source", "created_at", "model_version"),
    Index("ix_predictions_text_hash", "text_hash"),
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
    Column("key_name", String(KEY_NAME_LENGTH)),  # name of the API key that gave the label
    Index("ix_feedback_prediction", "prediction_id", "id"),
    Index("ix_feedback_created_at", "created_at"),
)

# What monitoring found, one row a check.
checks = Table(
    "checks",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("checked_at", Float(53), nullable=False),
    Column("since", Float(53), nullable=False),
    Column("until", Float(53), nullable=False),
    Column("model_name", String(256), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    Column("summary", Text, nullable=False),
    Column("report", Text, nullable=False),
    Column("signals", JSON, nullable=False),  # name → {value, threshold, status}
    Column("accuracy", Float(53)),
    Column("labelled", Integer, nullable=False),
    Column("retrained_at", Float(53)),  # when a retraining began because of this check
    Column("retrain_status", Integer),  # how it ended
    Column("latency_only", Boolean),  # only the signal `service_latency` is in breach
    Index("ix_checks_model", "model_name", "checked_at"),
)

# Windows of live texts that people accepted as part of the reference of a version. The texts stay predictions.
accepted_windows = Table(
    "accepted_windows",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("model_name", String(256), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("since", Float(53), nullable=False),
    Column("until", Float(53), nullable=False),
    Column("weekly", Boolean, nullable=False),  # whether it describes the same time of every week only
    Column("texts", Integer, nullable=False),  # when it was accepted
    Column("accepted_at", Float(53), nullable=False),
    Column("accepted_by", String(PERSON_LENGTH), nullable=False),
    Column("revoked_at", Float(53)),
    Column("revoked_by", String(PERSON_LENGTH)),
    Index("ix_accepted_windows_model", "model_name", "model_version"),
)

# The last state of a model that each alert channel was sent.
alert_states = Table(
    "alert_states",
    metadata,
    Column("model_name", String(256), primary_key=True),
    Column("channel", String(64), primary_key=True),  # a hash: the address holds a password
    Column("status", String(32), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("told_at", Float(53), nullable=False),
    Column("claimed_until", Float(53), nullable=False),
)

# A batch of predictions that was handed out to be labelled: when, and what it was drawn from.
label_batches = Table(
    "label_batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("queued_at", Float(53), nullable=False),
    Column("model_name", String(256), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("since", Float(53), nullable=False),
    Column("until", Float(53), nullable=False),
    Column("predictions", Integer, nullable=False),  # how many there were to choose from
    Index("ix_label_batches_model", "model_name", "model_version", "until"),
)

# The predictions of a batch, and how likely each was to be chosen for it. Batches may overlap.
label_queue = Table(
    "label_queue",
    metadata,
    Column("batch", String(32), ForeignKey("label_batches.id", ondelete="CASCADE"), primary_key=True),
    Column("prediction_id", String(32), ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True),
    Column("probability", Float(53), nullable=False),
    Column("reason", String(16), nullable=False),
    Index("ix_label_queue_prediction", "prediction_id"),
)

# What was erased, so that it is not written again from elsewhere: ids of predictions, and keyed hashes of texts.
tombstones = Table(
    "tombstones",
    metadata,
    Column("kind", String(8), primary_key=True),  # id or text
    Column("value", String(64), primary_key=True),
    Column("erased_at", Float(53), nullable=False),
)

# Keys that every process of this store shares; made by the migration.
secrets = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(128), nullable=False),
    Column("created_at", Float(53), nullable=False),
)
