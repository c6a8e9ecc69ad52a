"""Starts MLflow's server with its own authentication and PostgreSQL; the command of deploy/mlflow.Dockerfile.

Reads the environment, because a password in an argument is shown to every process of the machine, and one in an address
must be URL-encoded:

- POSTGRES_HOST, POSTGRES_PORT (5432), POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB (mlflow): the database, of MLflow's
  records and of its users.
- MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD: the first user, made where there is none. Changing them later
  changes nothing: use MLflow's `update_user_password`.
- AWS_…, MLFLOW_S3_ENDPOINT_URL: for artifacts on S3. Empty ones count as unset, as compose passes every name.
- MLFLOW_FLASK_SERVER_SECRET_KEY: signs the sign-up form's tokens. Unset: a new one at each start.

Arguments are passed on to `mlflow server`. Only the standard library and what MLflow brings is imported.
"""

from __future__ import annotations

import configparser
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL

REQUIRED = (
    "POSTGRES_HOST",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "MLFLOW_AUTH_ADMIN_USERNAME",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
)
_SHORTEST_PASSWORD = 12
"""MLflow's own limit for the passwords of its users."""


def database_address(environment: Mapping[str, str]) -> str:
    """SQLAlchemy's address of the database, with user and password URL-encoded."""
    return URL.create(
        "postgresql+psycopg",
        username=environment["POSTGRES_USER"],
        password=environment["POSTGRES_PASSWORD"],
        host=environment["POSTGRES_HOST"],
        port=int(environment.get("POSTGRES_PORT") or 5432),
        database=environment.get("POSTGRES_DB") or "mlflow",
    ).render_as_string(hide_password=False)


def authentication_file(folder: Path, database: str) -> Path:
    """Write MLflow's `basic_auth.ini`, readable by its owner only; the first user comes from the environment."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {
        # Users that are made later may look at everything, and change what they were given.
        "default_permission": "READ",
        # MLflow reads the file with interpolation, for which a per cent sign is a reference.
        "database_uri": database.replace("%", "%%"),
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    path = folder / "basic_auth.ini"
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        settings.write(file)
    return path


def server_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of `mlflow server`; writes `basic_auth.ini` to `folder`.

    Raises:
        SystemExit: a variable is missing, or the password is one that MLflow refuses.
    """
    missing = [name for name in REQUIRED if not environment.get(name)]
    if missing:
        raise SystemExit(f"mlflow_server: set {', '.join(missing)}")
    if len(environment["MLFLOW_AUTH_ADMIN_PASSWORD"]) < _SHORTEST_PASSWORD:
        raise SystemExit(
            f"mlflow_server: MLFLOW_AUTH_ADMIN_PASSWORD needs at least {_SHORTEST_PASSWORD} characters"
        )
    address = database_address(environment)
    # An empty endpoint or region is an error to boto3.
    kept = {
        name: value
        for name, value in environment.items()
        if value or not name.startswith(("AWS_", "MLFLOW_S3_"))
    }
    return kept | {
        "MLFLOW_BACKEND_STORE_URI": address,
        "MLFLOW_AUTH_CONFIG_PATH": str(authentication_file(folder, address)),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": environment.get("MLFLOW_FLASK_SERVER_SECRET_KEY")
        or secrets.token_hex(32),
    }


def main(arguments: list[str]) -> None:
    """Become `mlflow server` with these arguments."""
    folder = Path(tempfile.mkdtemp(prefix="mlflow-auth-"))
    environment = server_environment(os.environ, folder)
    command = ["mlflow", "server", "--app-name=basic-auth", *arguments]
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main(sys.argv[1:])
