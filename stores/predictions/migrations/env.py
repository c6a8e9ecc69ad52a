"""Runs migrations on the connection that `stores.predictions.connections` hands over."""

from alembic import context

from stores.predictions.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
# No transaction of its own: the caller's covers the lock and every migration together.
context.run_migrations()
