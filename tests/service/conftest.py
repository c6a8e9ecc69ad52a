"""One bundle, one registry and one running service, shared by this folder's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from classifier import Classifier
from stores.registry import ModelRegistry
from tests.support.bundles import registered, sealed_tfidf_bundle
from tests.support.cascades import sealed_cascade
from tests.support.engines import tracking_in
from tests.support.servers import Server, serving

TAGS = {
    "experiment": "tests",
    "seed": "42",
    "compared_with_version": "3",
    "test_macro_f1": "0.9500",
    "test_macro_f1_low": "0.9380",
    "test_macro_f1_high": "0.9610",
    "test_accuracy": "0.9531",
    "test_calibration_error": "0.0172",
    "megabytes": "0.7519",
    "latency_ms_p50": "1.6612",
    "latency_ms_p95": "3.0310",
}
"""What training notes with a version, in part."""


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a TF-IDF bundle."""
    folder = tmp_path_factory.mktemp("bundles") / "news"
    sealed_tfidf_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def second_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of another one, which gives other probabilities."""
    folder = tmp_path_factory.mktemp("bundles") / "news-second"
    sealed_tfidf_bundle(folder, strength=1.0)
    return folder


@pytest.fixture(scope="session")
def cascade_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a cascade."""
    folder = tmp_path_factory.mktemp("bundles") / "news-cascade"
    sealed_cascade(folder)
    return folder


@pytest.fixture(scope="session")
def classifier(bundle: Path) -> Classifier:
    """The bundle in memory."""
    return Classifier.load(bundle)


@pytest.fixture(scope="session")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as a user starts it, following the champion of a real registry."""
    var_dir = tmp_path_factory.mktemp("served")
    registered(ModelRegistry(tracking_in(var_dir)), bundle, tags=TAGS)
    with serving(var_dir, {"MAX_TEXTS": "50", "MAX_BODY_BYTES": "100000"}) as running:
        yield running
