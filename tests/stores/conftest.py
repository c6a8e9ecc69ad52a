"""Both kinds of prediction store, empty, and a real PostgreSQL for the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stores.predictions import PredictionStore
from tests.support.postgres import new_database, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server that the tests may make databases in."""
    with postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database that has not been opened yet, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'predictions.db'}"
        return
    with new_database(request.getfixturevalue("postgres")) as address:
        yield address


@pytest.fixture
def store(url: str) -> Iterator[PredictionStore]:
    """An empty store of each kind in turn."""
    opened = PredictionStore.open(url)
    yield opened
    opened.close()
