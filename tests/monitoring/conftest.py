"""A real champion in a real registry, made once; every test gets a copy of it with an empty prediction store."""

from __future__ import annotations

import random
import shutil
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from classifier import Classifier
from monitoring.champion import find_champion
from monitoring.check import CheckResult, evaluate_window, run_check
from monitoring.drift.permutation import Score
from monitoring.drift.signal import Comparison, Sides, signals
from monitoring.publishing import ReportMode
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Verdict
from stores.predictions import Prediction, PredictionStore
from stores.registry import ModelRegistry, RegisteredModel
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings
from tests.support.bundles import bbc_part, registered, sealed_tfidf_bundle

NOW = time.time()
WINDOW = (NOW - 3600, NOW)


@dataclass
class House:
    """Registry, champion and an empty prediction store."""

    var: Path
    tracking: TrackingSettings
    registry: ModelRegistry
    champion: RegisteredModel
    classifier: Classifier
    store: PredictionStore

    def answer(
        self,
        texts: Sequence[str],
        *,
        at: float = NOW - 60,
        labels: Sequence[str] | None = None,
        version: str | None = None,
    ) -> list[str]:
        """Write real predictions for `texts` as the service does, with feedback where `labels` are given; their ids."""
        made = self.classifier.classify(texts)
        rows = []
        for text, row, tokens in zip(texts, made.probabilities, made.tokens, strict=True):
            scores = {name: float(p) for name, p in zip(self.classifier.labels, row, strict=True)}
            label = max(scores, key=scores.__getitem__)
            rows.append(
                Prediction(
                    text=text,
                    label=label,
                    score=scores[label],
                    scores=scores,
                    tokens=tokens,
                    truncated=False,
                    model_name=self.champion.name,
                    model_version=version or self.champion.version,
                    model_alias="champion",
                    created_at=at,
                )
            )
        self.store.add(rows)
        if labels is not None:
            self.store.add_feedback(
                {row.id: label for row, label in zip(rows, labels, strict=False)}, at=at + 30
            )
        return [row.id for row in rows]

    def check(
        self, output: Path | None = None, *, pages: ReportMode = "full", **settings: object
    ) -> CheckResult:
        """Check the last hour."""
        return run_check(
            *WINDOW,
            self._settings(settings),
            tracking=self.tracking,
            predictions=PredictionSettings(var_dir=self.var),
            signing=SigningSettings(),
            output=output,
            pages=pages,
        )

    def verdict(self, **settings: object) -> Verdict:
        """What a check of the last hour would say, without its pages and pictures, which take most of its time."""
        champion = find_champion(self.registry, self.tracking, SigningSettings())
        return evaluate_window(self.store, champion, *WINDOW, self._settings(settings)).verdict

    def _settings(self, settings: dict[str, object]) -> MonitoringSettings:
        return MonitoringSettings(var_dir=self.var, **{"monitoring_permutations": 1999, **settings})


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RegisteredModel]:
    """A state folder whose registry has one champion."""
    var = tmp_path_factory.mktemp("monitoring") / "var"
    sealed_tfidf_bundle(var / "bundle")
    registry = ModelRegistry(TrackingSettings(var_dir=var))
    champion = registered(registry, var / "bundle")
    registry.fetch(registry.by_alias("champion"))
    return var, champion


@pytest.fixture
def house(template: tuple[Path, RegisteredModel], tmp_path: Path) -> House:
    """The champion's registry, shared, and a prediction store and reports of the test's own."""
    shared, champion = template
    var = tmp_path / "var"
    # The database keeps absolute paths of artifacts, so it is used where it is; the model cache travels.
    tracking = TrackingSettings(var_dir=var, mlflow_tracking_uri=f"sqlite:///{shared / 'mlflow.db'}")
    registry = ModelRegistry(tracking)
    store = PredictionStore.open(PredictionSettings(var_dir=var).url)
    return House(var, tracking, registry, champion, Classifier.load(shared / "bundle"), store)


@pytest.fixture
def own_registry(template: tuple[Path, RegisteredModel], tmp_path: Path) -> TrackingSettings:
    """Settings of a registry that nobody else uses and that has no model yet."""
    # Said outright: MLflow keeps the last address used in the environment of the process.
    return TrackingSettings(var_dir=tmp_path / "own", mlflow_tracking_uri=f"sqlite:///{tmp_path / 'own.db'}")


def normal(count: int) -> tuple[list[str], list[str]]:
    """Different articles that the champion never saw, topics mixed as in its reference, and their labels.

    The draw is fixed: one in a hundred alarms at α = 1 %, and a test of quiet traffic must not be that one.
    """
    articles = dict(zip(*bbc_part(2), strict=True))
    texts = random.Random(7).sample(list(articles), count)
    return texts, [articles[text] for text in texts]


def mistyped(texts: Sequence[str], share: float = 0.15) -> list[str]:
    """Texts with a share of their letters replaced."""
    rng = random.Random(5)
    return [
        "".join(
            rng.choice(string.ascii_lowercase) if letter.isalpha() and rng.random() < share else letter
            for letter in text
        )
        for text in texts
    ]


def copy_of_bundle(template: Path, to: Path) -> Path:
    """The champion's bundle as a folder of its own, to be damaged."""
    return shutil.copytree(template / "bundle", to)


def comparison(
    name: str,
    reference: object,
    window: object,
    *,
    classes: tuple[str, ...] = (),
    times: Sequence[float] = (),
    score: Score | None = None,
) -> Comparison:
    """A comparison of the signal of this name, measured."""
    sides = Sides(reference, window, classes, times)  # type: ignore[arg-type]
    return Comparison(signals()[name](), sides, 0.1, 1, score=score or Score(0.5, 0.01, lambda _: 0.1))
