"""Label queues by batch: what a batch was drawn from. Nothing had written the queue before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("label_queue")
    op.create_table(
        "label_batches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("queued_at", sa.Float(53), nullable=False),
        sa.Column("model_name", sa.String(256), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("predictions", sa.Integer, nullable=False),
    )
    op.create_index("ix_label_batches_model", "label_batches", ["model_name", "model_version", "until"])
    op.create_table(
        "label_queue",
        sa.Column(
            "batch",
            sa.String(32),
            sa.ForeignKey("label_batches.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column(
            "prediction_id",
            sa.String(32),
            sa.ForeignKey("predictions.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("probability", sa.Float(53), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
    )
    op.create_index("ix_label_queue_prediction", "label_queue", ["prediction_id"])


def downgrade() -> None:
    op.drop_table("label_queue")
    op.drop_table("label_batches")
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
