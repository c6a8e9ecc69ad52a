from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.batch import main
from service.batch_scoring.model import ScoringModel, load_model
from stores.settings import SigningSettings, TrackingSettings
from tests.support.bundles import sealed_tfidf_bundle

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class BatchCommand:
    """`python -m service.batch` as a user starts it, with state under a folder of the test."""

    bundle: Path
    var: Path

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "PYTHONPATH": str(ROOT),
            "VAR_DIR": str(self.var),
            "MODEL_URI": str(self.bundle),
            "COLUMNS": "200",
        }
        return {**os.environ, **own, **more}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._line(arguments), env=self.environment(), stderr=subprocess.PIPE, text=True, cwd=self.var
        )

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._line(arguments),
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            cwd=self.var,
        )

    def call(self, *arguments: object, **environment: str) -> Result:
        """The same in this process, which spares the imports."""
        with chdir(self.var):
            return CliRunner().invoke(
                main, [str(argument) for argument in arguments], env=self.environment(**environment)
            )

    @staticmethod
    def _line(arguments: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "service.batch", *map(str, arguments)]


@pytest.fixture(scope="session")
def batch_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch") / "news"
    sealed_tfidf_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def model(batch_bundle: Path) -> ScoringModel:
    return load_model(TrackingSettings(model_uri=str(batch_bundle)), SigningSettings())


@pytest.fixture
def batch(batch_bundle: Path, tmp_path: Path) -> BatchCommand:
    return BatchCommand(batch_bundle, tmp_path)
