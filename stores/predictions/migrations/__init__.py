"""Alembic's folder: `env.py` runs the versions under `versions/`."""
