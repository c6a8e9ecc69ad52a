"""One sealed bundle of each kind, made once; a test that changes one copies it first."""

import shutil
from pathlib import Path

import pytest
from catboost import CatBoostClassifier
from sklearn.feature_extraction.text import TfidfVectorizer

from classifier import Classifier, Description, seal_bundle
from classifier.runtimes.sklearn import save_skops
from tests.support.bundles import TOPICS, bbc_part, sealed_tfidf_bundle
from tests.support.network_cascades import sealed_cascade_bundle, sealed_linear_bundle
from tests.support.networks import sealed_network_bundle

KEY = "a signing key"


@pytest.fixture(scope="session")
def tfidf(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return sealed_tfidf_bundle(tmp_path_factory.mktemp("tfidf") / "bundle", signing_key=KEY)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return sealed_network_bundle(tmp_path_factory.mktemp("network") / "bundle")


@pytest.fixture(scope="session")
def catboost(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = tmp_path_factory.mktemp("catboost")
    texts, labels = bbc_part(0, step=10)
    vectorizer = TfidfVectorizer(max_features=100)
    model = CatBoostClassifier(
        iterations=10, depth=4, random_seed=0, verbose=False, allow_writing_files=False, thread_count=2
    )
    model.fit(vectorizer.fit_transform(texts), labels)
    save_skops(vectorizer, folder / "vectorizer.skops")
    model.save_model(str(folder / "model.cbm"))
    description = Description(kind="catboost", model_file="model.cbm", labels=TOPICS)
    assert tuple(model.classes_) == TOPICS
    return seal_bundle(folder, description, golden_texts=bbc_part(1)[0][:3], data={})


@pytest.fixture(scope="session")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return sealed_linear_bundle(tmp_path_factory.mktemp("linear") / "bundle")


@pytest.fixture(scope="session")
def cascade(tmp_path_factory: pytest.TempPathFactory, network: Classifier) -> Classifier:
    return sealed_cascade_bundle(tmp_path_factory.mktemp("cascade") / "bundle", network.folder)


@pytest.fixture(scope="session", params=["tfidf", "catboost", "network", "linear", "cascade"])
def any_model(request: pytest.FixtureRequest) -> Classifier:
    """Each kind in turn."""
    model: Classifier = request.getfixturevalue(request.param)
    return model


@pytest.fixture
def bundle(tfidf: Classifier, tmp_path: Path) -> Path:
    """A copy of the TF-IDF bundle that a test may break."""
    return Path(shutil.copytree(tfidf.folder, tmp_path / "bundle"))


@pytest.fixture
def network_bundle(network: Classifier, tmp_path: Path) -> Path:
    """A copy of the network bundle that a test may break."""
    return Path(shutil.copytree(network.folder, tmp_path / "bundle"))
