"""Sources: `live` becomes `api`, labels from files have the source `file`, and windows are found by source.

The index that this replaces had no source, so a window of few requests among many of a load test read all of them; and
queries for every version of a model read the model's whole history.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_RENAMED = (("predictions", "live", "api"), ("feedback", "csv", "file"))


def upgrade() -> None:
    op.drop_index("ix_predictions_model", "predictions")
    for table, old, new in _RENAMED:
        _rename(table, old, new)
    op.create_index(
        "ix_predictions_model", "predictions", ["model_name", "source", "created_at", "model_version"]
    )


def downgrade() -> None:
    op.drop_index("ix_predictions_model", "predictions")
    for table, old, new in _RENAMED:
        _rename(table, new, old)
    op.create_index("ix_predictions_model", "predictions", ["model_name", "model_version", "created_at"])


def _rename(name: str, old: str, new: str) -> None:
    table = sa.table(name, sa.column("source", sa.String))
    op.execute(sa.update(table).where(table.c.source == old).values(source=new))
