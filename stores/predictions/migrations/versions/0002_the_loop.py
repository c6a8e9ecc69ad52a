"""What monitoring remembers: checks, what alert channels were told, who was asked to be labelled; redacted texts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("predictions", sa.Column("redacted_at", sa.Float(53)))
    op.create_table(
        "checks",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("checked_at", sa.Float(53), nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("model_name", sa.String(256), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("signals", sa.JSON, nullable=False),
        sa.Column("accuracy", sa.Float(53)),
        sa.Column("labelled", sa.Integer, nullable=False),
        sa.Column("retrained_at", sa.Float(53)),
        sa.Column("retrain_status", sa.Integer),
    )
    op.create_index("ix_checks_model", "checks", ["model_name", "checked_at"])
    op.create_table(
        "alert_states",
        sa.Column("model_name", sa.String(256), primary_key=True),
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("told_at", sa.Float(53), nullable=False),
        sa.Column("claimed_until", sa.Float(53), nullable=False),
    )
    op.create_table(
        "label_queue",
        sa.Column(
            "prediction_id",
            sa.String(32),
            sa.ForeignKey("predictions.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("queued_at", sa.Float(53), nullable=False),
        sa.Column("probability", sa.Float(53), nullable=False),
        sa.Column("batch", sa.String(32), nullable=False),
    )
    op.create_index("ix_label_queue_batch", "label_queue", ["batch"])


def downgrade() -> None:
    op.drop_table("label_queue")
    op.drop_table("alert_states")
    op.drop_table("checks")
    op.drop_column("predictions", "redacted_at")
