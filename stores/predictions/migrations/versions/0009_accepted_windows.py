"""Windows of live texts that people accepted as part of the reference of a model version."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accepted_windows",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("model_name", sa.String(256), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("weekly", sa.Boolean, nullable=False),
        sa.Column("texts", sa.Integer, nullable=False),
        sa.Column("accepted_at", sa.Float(53), nullable=False),
        sa.Column("accepted_by", sa.String(64), nullable=False),
        sa.Column("revoked_at", sa.Float(53)),
        sa.Column("revoked_by", sa.String(64)),
    )
    op.create_index("ix_accepted_windows_model", "accepted_windows", ["model_name", "model_version"])


def downgrade() -> None:
    op.drop_table("accepted_windows")
