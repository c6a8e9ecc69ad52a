"""Settings of this room."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import SecretStr

from stores.settings import SigningSettings, VarSettings, database_address
from training.errors import SearchUnavailable


class TrainingSettings(VarSettings):
    """Where training writes."""

    training_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level of the events in `logs/training.log` under VAR_DIR; `DEBUG` adds one for each epoch of
    a search."""

    search_url: str | None = None
    """SQLAlchemy address where searches keep their trials, so that several processes share one. Unset: SQLite under
    VAR_DIR, for processes of one machine; PostgreSQL, in a separate database: `postgresql://user@host/search`."""

    search_password: SecretStr | None = None
    """Password of that database's server, as it is. One in SEARCH_URL must be URL-encoded instead."""

    @property
    def search_address(self) -> str:
        """The address in force, with the driver that is installed and the password.

        Raises:
            SearchUnavailable: the address has more than one @, so that a part of the password would be taken for the
                host and be shown in messages.
        """
        url = self.search_url or f"sqlite:///{self.root / 'search.db'}"
        try:
            return database_address(url, self.search_password, setting="SEARCH")
        except ValueError as error:
            raise SearchUnavailable(str(error)) from None

    @property
    def reports(self) -> Path:
        """Pictures and figures of every run, a folder each; kept."""
        return self.folder("reports")

    @property
    def scratch(self) -> Path:
        """Bundles in the making and checkpoints; each run's folder is deleted when it ends."""
        return self.folder("training")

    @property
    def tokens(self) -> Path:
        """Tokenised texts, shared by candidates and runs; may be deleted at any time."""
        return self.folder("tokens")

    @property
    def checkpoint_key(self) -> str:
        """Secret for the HMAC of checkpoints and histories: MODEL_SIGNING_KEY, or else one drawn for this VAR_DIR.

        So a checkpoint that was changed, or made elsewhere, is noticed even without a configured key.
        """
        if key := SigningSettings().key:
            return key
        path = self.root / "machine.key"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_hex(32), encoding="ascii")
        return path.read_text(encoding="ascii")
