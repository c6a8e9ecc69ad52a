"""Stages of cascades: which one answered, and what the whole cascade says of early answers that were audited."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COLUMNS = (("stage", sa.String(64)), ("audited_label", sa.String(256)))


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("predictions", sa.Column(name, kind))


def downgrade() -> None:
    for name, _ in reversed(_COLUMNS):
        op.drop_column("predictions", name)
