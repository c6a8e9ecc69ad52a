"""Settings: defaults, environment, `.env`, and a docstring under every field."""

import inspect
from pathlib import Path

import pytest
from sqlalchemy import make_url

from stores import settings
from stores.errors import PredictionStoreError
from stores.settings import PredictionSettings, Settings, SigningSettings, TrackingSettings, VarSettings

CLASSES = [
    found
    for _, found in inspect.getmembers(settings, inspect.isclass)
    if issubclass(found, Settings) and found is not Settings
]
NAMES = sorted({name.upper() for found in CLASSES for name in found.model_fields})


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_are_under_var(tmp_path: Path) -> None:
    assert TrackingSettings().tracking_uri == f"sqlite:///{tmp_path}/var/mlflow.db"
    assert PredictionSettings().url == f"sqlite:///{tmp_path}/var/predictions.db"
    assert VarSettings().folder("models", "news") == tmp_path / "var" / "models" / "news"
    assert (tmp_path / "var" / "models" / "news").is_dir()
    assert (TrackingSettings().model_name, TrackingSettings().model_alias) == ("news", "champion")
    assert SigningSettings().key is None


def test_the_environment_wins_over_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MODEL_NAME=support\nMODEL_ALIAS=challenger\nUNRELATED=1\n")
    assert TrackingSettings().model_name == "support"
    monkeypatch.setenv("MODEL_NAME", "reviews")
    assert TrackingSettings().model_name == "reviews"
    assert TrackingSettings().model_alias == "challenger"
    assert TrackingSettings(model_name="given").model_name == "given"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SIGNING_KEY", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert SigningSettings().key is None
    assert TrackingSettings().tracking_uri.startswith("sqlite:///")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://me@db/p", "postgresql+psycopg://me@db/p"),
        ("postgres://me@db/p", "postgresql+psycopg://me@db/p"),
        ("postgresql+psycopg://me@db/p", "postgresql+psycopg://me@db/p"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_the_installed_driver_is_used(given: str, used: str) -> None:
    assert PredictionSettings(predictions_url=given).url == used


def test_a_secret_is_not_printed() -> None:
    given = SigningSettings(model_signing_key="hunter2")  # type: ignore[arg-type]
    assert given.key == "hunter2"
    assert "hunter2" not in repr(given)
    assert "hunter2" not in given.model_dump_json()


@pytest.mark.parametrize("found", CLASSES)
def test_every_field_is_documented(found: type[Settings]) -> None:
    source = inspect.getsource(found)
    for name in found.__annotations__:
        if name in found.model_fields:
            block = source[source.index(f"    {name}:") :].split("\n\n")[0]
            assert '    """' in block, name


def test_classes_are_found() -> None:
    assert {PredictionSettings, SigningSettings, TrackingSettings, VarSettings} <= set(CLASSES)
    assert "MLFLOW_TRACKING_URI" in NAMES


@pytest.mark.parametrize("password", ["p@ss/w#r%d", "hunter2", "a b:c?d=e&f", "%41", "ü€"])
def test_a_password_is_taken_as_it_is(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTIONS_URL", "postgresql://champion@postgres:5433/predictions?sslmode=require")
    monkeypatch.setenv("PREDICTIONS_PASSWORD", password)
    url = make_url(PredictionSettings().url)
    assert (url.username, url.password, url.host, url.port) == ("champion", password, "postgres", 5433)
    assert (url.database, dict(url.query)) == ("predictions", {"sslmode": "require"})
    assert password not in repr(PredictionSettings())


def test_a_file_has_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTIONS_PASSWORD", "hunter2")
    assert PredictionSettings().url == f"sqlite:///{tmp_path}/var/predictions.db"


@pytest.mark.parametrize("password", ["p@ss/w#r%d", "p@s?s"])
def test_an_unencoded_password_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(PredictionStoreError, match="PREDICTIONS_PASSWORD") as refused:
        _ = PredictionSettings(predictions_url=f"postgresql://champion:{password}@postgres/predictions").url
    assert "p@s" not in str(refused.value)


def test_a_socket_gets_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTIONS_URL", "postgresql://champion@/predictions?host=/run/postgresql")
    monkeypatch.setenv("PREDICTIONS_PASSWORD", "p@ss/w#r%d")
    url = make_url(PredictionSettings().url)
    assert (url.password, url.host, dict(url.query)) == ("p@ss/w#r%d", None, {"host": "/run/postgresql"})


def test_an_encoded_password_and_a_socket_are_left_as_they_are() -> None:
    for address in ("me:p%40ss@db/p", "me:@/p?host=/run/x", "me@/p?host=@abstract"):
        assert (
            PredictionSettings(predictions_url=f"postgresql://{address}").url
            == f"postgresql+psycopg://{address}"
        )


def test_credentials_of_the_registry(tmp_path: Path) -> None:
    assert TrackingSettings().credentials == {}
    (tmp_path / ".env").write_text(
        "MLFLOW_TRACKING_USERNAME=champion\nMLFLOW_TRACKING_PASSWORD='p@ss/w#r%d'\n"
    )
    assert TrackingSettings().credentials == {
        "MLFLOW_TRACKING_USERNAME": "champion",
        "MLFLOW_TRACKING_PASSWORD": "p@ss/w#r%d",
    }
