"""Names of API keys; the form in which a text is stored, its hash and features; what was erased.

`secrets` gets its only row here, under the lock of the migration, so that all processes of a store share one key.
"""

import secrets
import time

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("predictions", "key_name", sa.String(64)),
    ("predictions", "text_form", sa.String(16)),
    ("predictions", "text_hash", sa.String(64)),
    ("predictions", "features", sa.JSON),
    ("feedback", "key_name", sa.String(64)),
)


def upgrade() -> None:
    for table, name, kind in _COLUMNS:
        op.add_column(table, sa.Column(name, kind))
    op.create_index("ix_predictions_text_hash", "predictions", ["text_hash"])
    op.create_table(
        "tombstones",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("value", sa.String(64), primary_key=True),
        sa.Column("erased_at", sa.Float(53), nullable=False),
    )
    keys = op.create_table(
        "secrets",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    row = {"name": "text_hash", "value": secrets.token_hex(32), "created_at": time.time()}
    op.bulk_insert(keys, [row])


def downgrade() -> None:
    op.drop_table("secrets")
    op.drop_table("tombstones")
    op.drop_index("ix_predictions_text_hash", "predictions")
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
