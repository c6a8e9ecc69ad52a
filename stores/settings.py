"""Settings that more than one room reads. Environment variables or `.env`; docs/settings.md has them in one table.

Each class is one concern; a room's own settings stand in that room and inherit from `Settings`.

Usage::

    TrackingSettings()                          # from the environment
    TrackingSettings(model_name="support")      # for a test
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stores.errors import PredictionStoreError
from stores.names import path_component
from stores.private_files import OTHERS, make_private_folder
from stores.sources import TRAFFIC, parse_sources

if TYPE_CHECKING:
    from classifier.signing import SigningKeys


class Settings(BaseSettings):
    """Base of every settings class: reads the environment, then `.env`; a field's name is its variable's name."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        populate_by_name=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,  # so that docs/settings.md can be held against the fields
    )


class VarSettings(Settings):
    """Where state lives."""

    var_dir: Path = Field(default=Path("var"), validate_default=True)
    """Folder of all local state: databases, model cache, reports, logs. Relative to the working directory."""

    var_private: bool = True
    """Whether what is written is for its user only: folders with mode 0700, files with 0600. False: the umask decides,
    for a group or another user who reads VAR_DIR, such as a collector of the Prometheus textfile."""

    @property
    def root(self) -> Path:
        """`var_dir`, absolute and existing."""
        path = self.var_dir.absolute()
        self._make(path)
        return path

    def folder(self, *parts: str) -> Path:
        """A folder under `var_dir`, made if it is missing.

        Raises:
            NameRefused: a part is not the name of one folder, such as `..`.
        """
        path = self.root.joinpath(*map(path_component, parts))
        self._make(path)
        return path

    def _make(self, path: Path) -> None:
        if self.var_private:
            make_private_folder(path)
        else:
            path.mkdir(parents=True, exist_ok=True)


class TrackingSettings(VarSettings):
    """Which registry, and which model in it."""

    mlflow_tracking_uri: str | None = None
    """MLflow's tracking and registry address. Unset: SQLite under VAR_DIR."""

    mlflow_tracking_username: str | None = None
    """User of MLflow's own authentication, where the server asks for one."""

    mlflow_tracking_password: SecretStr | None = None
    """Password of that user."""

    model_name: str = "news"
    """Name of the registered model."""

    model_alias: str = "champion"
    """Alias that the service follows and monitoring compares with."""

    model_uri: str | None = None
    """Names the served model instead of MODEL_ALIAS of MODEL_NAME: `models:/news/7`, `models:/news@challenger`, `7`,
    `runs:/RUN_ID/model`, or a bundle's folder. An alias is followed, everything else is pinned."""

    @property
    def tracking_uri(self) -> str:
        """The address in force."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def credentials(self) -> dict[str, str]:
        """User and password as MLflow's client reads them from the environment; only those that are set."""
        password = self.mlflow_tracking_password
        given = {
            "MLFLOW_TRACKING_USERNAME": self.mlflow_tracking_username,
            "MLFLOW_TRACKING_PASSWORD": password.get_secret_value() if password else None,
        }
        return {name: value for name, value in given.items() if value is not None}


class SigningSettings(Settings):
    """Trust in bundles."""

    model_signing_key: SecretStr | None = None
    """Secret for the HMAC over a bundle: training signs with it, and loading refuses what is not signed by it."""

    model_signing_private_key: SecretStr | None = None
    """Ed25519 private key that training signs with: PEM, or the path of a file with it. Serving needs none."""

    model_verify_key: str | None = None
    """Ed25519 public keys: PEM, or paths of files separated by commas. Loading refuses what is signed neither by one of
    them nor with MODEL_SIGNING_KEY."""

    @property
    def key(self) -> str | None:
        """The secret in clear, or None."""
        return self.model_signing_key.get_secret_value() if self.model_signing_key else None

    @property
    def keys(self) -> SigningKeys | None:
        """Every key that is set; None: bundles need no signature.

        Raises:
            SigningKeyInvalid: a setting holds no such key.
        """
        from classifier.signing import (
            SigningKeys,  # with the libraries that run models, which settings do not need
        )

        private = self.model_signing_private_key
        return SigningKeys.read(
            self.key, private=private.get_secret_value() if private else None, public=self.model_verify_key
        )


class ClusterSettings(Settings):
    """Where work runs that asks for Ray."""

    ray_address: str | None = None
    """Ray cluster for `--engine ray`: `HOST:6379`, or `auto` on its machines. Unset: a Ray of the work's own."""


class PredictionSettings(VarSettings):
    """Where predictions and feedback are kept."""

    predictions_url: str | None = None
    """SQLAlchemy address of the prediction store. Unset: SQLite under VAR_DIR; PostgreSQL: `postgresql://user@host/db`."""

    predictions_password: SecretStr | None = None
    """Password of the prediction store's server, as it is. One in PREDICTIONS_URL must be URL-encoded instead."""

    predictions_policy: Literal["require", "spool"] = "require"
    """What happens to predictions while the store is away. `require`: requests are refused with 503, and `/readyz` is
    red. `spool`: they are appended to files under VAR_DIR/spool, answered, and written to the store once it is back."""

    predictions_spool_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Bytes that the spool may take; past it requests are refused as with `require`."""

    predictions_connect_timeout: float = Field(default=5.0, ge=1, le=300)
    """Seconds to wait for a connection to the prediction store, and for a sign of life of one that is open."""

    predictions_statement_timeout: float = Field(default=10.0, ge=0.1, le=3600)
    """Seconds that the service waits for a transaction (PostgreSQL: `statement_timeout`, too; SQLite: for the lock)."""

    predictions_read_timeout: float = Field(default=300.0, ge=1, le=86400)
    """The same for commands, which read whole windows: monitoring, retraining, labels."""

    predictions_tcp_timeout: float = Field(default=15.0, ge=1, le=3600)
    """Seconds that sent data may stay unacknowledged before a connection to PostgreSQL ends (`tcp_user_timeout`)."""

    predictions_pool_recycle: float = Field(default=1800.0, ge=1)
    """Seconds after which a PostgreSQL connection is replaced; below the idle limit of any firewall in between."""

    predictions_synchronous: Literal["normal", "full", "extra"] = "normal"
    """How an SQLite store survives a loss of power (`PRAGMA synchronous`). `normal`: killed processes lose nothing, a
    power cut may lose the last commits; `full`: a power cut loses nothing either, at one fsync for each commit."""

    store_text: Literal["full", "redacted", "hash", "none"] = "full"
    """What the prediction store keeps of a text: all of it; with e-mail addresses, telephone, card and account numbers
    masked; its HMAC-SHA256 only; or nothing. With the last two monitoring works on features alone."""

    retention_hash_key: SecretStr | None = None
    """Secret for hashes of texts (`STORE_TEXT=hash`, `RETENTION_TEXT=hash`). Unset: STORE_TEXT uses a key that the
    prediction store keeps, which stops tables of known hashes, and not a thief of the whole database."""

    @property
    def hash_key(self) -> str | None:
        """RETENTION_HASH_KEY in clear, or None."""
        return self.retention_hash_key.get_secret_value() if self.retention_hash_key else None

    @property
    def url(self) -> str:
        """The address in force, with the driver that is installed and the password.

        Raises:
            PredictionStoreError: the address has more than one @, so that a part of the password would be taken for the
                host and be shown in messages.
        """
        url = self.predictions_url or f"sqlite:///{self.root / 'predictions.db'}"
        try:
            return database_address(url, self.predictions_password, setting="PREDICTIONS")
        except ValueError as error:
            raise PredictionStoreError(str(error)) from None


def database_address(address: str, password: SecretStr | None, *, setting: str) -> str:
    """A database's SQLAlchemy address with the installed driver of PostgreSQL, and with the password URL-encoded.

    Args:
        address: what an operator wrote; one that cannot be parsed is returned for the database's opening to refuse.
        password: as it is, of any characters; None leaves the one in the address. SQLite has none.
        setting: `PREDICTIONS` for PREDICTIONS_URL and PREDICTIONS_PASSWORD; messages name these.

    Raises:
        ValueError: the address has more than one @, so that a part of its password would be taken for the host.
    """
    for prefix in ("postgresql://", "postgres://"):
        if address.startswith(prefix):
            address = "postgresql+psycopg://" + address.removeprefix(prefix)
    if address.startswith("sqlite"):
        return address
    # Imported only where there is a database server: it takes a third of a second.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    # An @ may stand in the values of the query, as in the name of an abstract socket.
    before, _, query = address.partition("?")
    if (before + query.partition("=")[0]).count("@") > 1:
        raise ValueError(
            f"{setting}_URL has more than one @: put the password, as it is, into {setting}_PASSWORD, or URL-encode it"
        )
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return address
    if password is None or url.drivername.startswith("sqlite"):
        return address
    return url.set(password=password.get_secret_value()).render_as_string(hide_password=False)


class TrafficSettings(Settings):
    """Which of the stored predictions are traffic."""

    traffic_sources: str = ",".join(TRAFFIC)
    """Sources (header `X-Source`) whose predictions count as traffic, separated by commas. Monitoring, the label queue,
    retraining and the challenger's shadow look at no others."""

    @field_validator("traffic_sources")
    @classmethod
    def _sources(cls, sources: str) -> str:
        return ",".join(parse_sources(sources))

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of TRAFFIC_SOURCES."""
        return parse_sources(self.traffic_sources)


def private_umask() -> None:
    """Remove the rights of group and others from what this process creates, unless VAR_PRIVATE is false."""
    if VarSettings().var_private:
        os.umask(os.umask(OTHERS) | OTHERS)
