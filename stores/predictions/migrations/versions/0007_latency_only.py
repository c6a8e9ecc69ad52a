"""Rename `checks.slow_only` to `latency_only`."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("checks", "slow_only", new_column_name="latency_only")


def downgrade() -> None:
    op.alter_column("checks", "latency_only", new_column_name="slow_only")
