"""How long each answer took, and which checks found nothing in breach but that."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("predictions", sa.Column("seconds", sa.Float(53)))
    op.add_column("checks", sa.Column("slow_only", sa.Boolean))


def downgrade() -> None:
    op.drop_column("checks", "slow_only")
    op.drop_column("predictions", "seconds")
