"""How MLflow's server is given its database and its first user: passwords of any characters."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import mlflow
import pytest
from sqlalchemy import make_url

from tests import golden_messages as messages

SCRIPT = Path(__file__).parents[2] / "deploy" / "mlflow_server.py"
GIVEN = {
    "POSTGRES_HOST": "postgres",
    "POSTGRES_USER": "champion",
    "POSTGRES_PASSWORD": "p@ss/w#r%d",
    "MLFLOW_AUTH_ADMIN_USERNAME": "champion",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "ad%min@/#pass",
}


def loaded(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded(SCRIPT)


@pytest.fixture(scope="module")
def mlflow_reading() -> ModuleType:
    """MLflow's reader by itself: its package would import the server."""
    return loaded(Path(mlflow.__file__).parent / "server" / "auth" / "config.py")


@pytest.mark.parametrize("password", ["p@ss/w#r%d", "%(here)s %%", "a b:c?d=e&f", "ü€"])
def test_mlflow_reads_the_password_that_was_given(
    script: ModuleType,
    mlflow_reading: ModuleType,
    password: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = script.server_environment(GIVEN | {"POSTGRES_PASSWORD": password}, tmp_path)
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    url = make_url(made["MLFLOW_BACKEND_STORE_URI"])
    assert (url.username, url.password, url.host, url.port, url.database) == (
        "champion",
        password,
        "postgres",
        5432,
        "mlflow",
    )
    config = mlflow_reading.read_auth_config()
    assert make_url(config.database_uri) == url
    assert (config.admin_username, config.admin_password) == ("champion", "ad%min@/#pass")
    assert (tmp_path / "basic_auth.ini").stat().st_mode & 0o777 == 0o600
    assert len(made["MLFLOW_FLASK_SERVER_SECRET_KEY"]) == 64


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_missing_is_named(script: ModuleType, name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=name):
        script.server_environment(GIVEN | {name: ""}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_password_that_mlflow_refuses_is_told_at_once(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=messages.PASSWORD_TOO_SHORT):
        script.server_environment(GIVEN | {"MLFLOW_AUTH_ADMIN_PASSWORD": "short"}, tmp_path)


def test_empty_object_store_variables_count_as_unset(script: ModuleType, tmp_path: Path) -> None:
    given = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_DEFAULT_REGION": "",
        "MLFLOW_S3_ENDPOINT_URL": "",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    made = script.server_environment(GIVEN | given, tmp_path)
    assert {name for name in made if name.startswith(("AWS_", "MLFLOW_S3_"))} == {"AWS_SECRET_ACCESS_KEY"}
