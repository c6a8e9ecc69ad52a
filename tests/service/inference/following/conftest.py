"""A follower of a real registry, one registry for a file, a model name for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.inference.bundle_check import CheckLimits
from service.inference.follower_state import ProblemReason
from service.inference.jobs import ServedModel
from service.inference.model_follower import ChampionFollower
from stores.registry import ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from tests.support.engines import tracking_in


class Watched:
    """A follower that is polled by hand, and what it reported."""

    def __init__(
        self,
        settings: TrackingSettings,
        key: str | None = None,
        *,
        allow_label_change: bool = False,
        limits: CheckLimits | None = None,
    ) -> None:
        self.swaps: list[ServedModel] = []
        self.reasons: list[ProblemReason | None] = []
        self.refused: list[bool] = []
        self.failures = 0
        self.follower = ChampionFollower(
            settings,
            SigningSettings(model_signing_key=key),
            poll_seconds=0.01,
            on_swap=self.swaps.append,
            on_failure=self._failed,
            on_labels=self.refused.append,
            allow_label_change=allow_label_change,
            limits=limits,
            on_problem=self.reasons.append,
        )

    def _failed(self) -> None:
        self.failures += 1

    @property
    def version(self) -> str | None:
        return self.follower.served.version if self.follower.served else None

    @property
    def problem(self) -> str:
        return self.follower.state.problem or ""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VAR_DIR of one registry for all tests: making its database takes seconds."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def settings(home: Path, request: pytest.FixtureRequest) -> TrackingSettings:
    """Settings with a model name that no other test uses."""
    name = "".join(sign if sign.isalnum() else "-" for sign in request.node.name)
    return tracking_in(home).model_copy(update={"model_name": name})


@pytest.fixture
def registry(settings) -> ModelRegistry:
    return ModelRegistry(settings)
