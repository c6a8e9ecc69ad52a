"""Settings that more than one room reads. Environment variables or `.env`; the README has them in one table.

Each class is one concern; a room's own settings stand in that room and inherit from `Settings`.

Usage::

    TrackingSettings()                          # from the environment
    TrackingSettings(model_name="support")      # for a test
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Base of every settings class: reads the environment, then `.env`; a field's name is its variable's name."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        populate_by_name=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,  # so that the README's table can be held against the fields
    )


class VarSettings(Settings):
    """Where state lives."""

    var_dir: Path = Field(default=Path("var"), validate_default=True)
    """Folder of all local state: databases, model cache, reports, logs. Relative to the working directory."""

    @property
    def root(self) -> Path:
        """`var_dir`, absolute and existing."""
        path = self.var_dir.absolute()
        path.mkdir(parents=True, exist_ok=True)
        return path

    def folder(self, *parts: str) -> Path:
        """A folder under `var_dir`, made if it is missing."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path


class TrackingSettings(VarSettings):
    """Which registry, and which model in it."""

    mlflow_tracking_uri: str | None = None
    """MLflow's tracking and registry address. Unset: SQLite under VAR_DIR."""

    model_name: str = "news"
    """Name of the registered model."""

    model_alias: str = "champion"
    """Alias that the service follows and monitoring compares with."""

    model_uri: str | None = None
    """Pins the served model instead of following the alias: `models:/news/7` or a bundle's folder."""

    @property
    def tracking_uri(self) -> str:
        """The address in force."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.root / 'mlflow.db'}"


class SigningSettings(Settings):
    """Trust in bundles."""

    model_signing_key: SecretStr | None = None
    """Secret for the HMAC over a bundle: training signs with it, and loading refuses what is not signed by it."""

    @property
    def key(self) -> str | None:
        """The secret in clear, or None."""
        return self.model_signing_key.get_secret_value() if self.model_signing_key else None


class ClusterSettings(Settings):
    """Where work runs that asks for Ray."""

    ray_address: str | None = None
    """Ray cluster for `--engine ray`: `HOST:6379`, or `auto` on its machines. Unset: a Ray of the work's own."""


class PredictionSettings(VarSettings):
    """Where predictions and feedback are kept."""

    predictions_url: str | None = None
    """SQLAlchemy address of the prediction store. Unset: SQLite under VAR_DIR; PostgreSQL: `postgresql://user@host/db`."""

    @property
    def url(self) -> str:
        """The address in force, with the driver that is installed."""
        url = self.predictions_url or f"sqlite:///{self.root / 'predictions.db'}"
        for prefix in ("postgresql://", "postgres://"):
            if url.startswith(prefix):
                return "postgresql+psycopg://" + url.removeprefix(prefix)
        return url
