"""Following the champion: swapped when promoted, kept when the new one is bad, found when MLflow is away."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from service.champion import ChampionFollower
from service.jobs import ServedModel
from service.sources import source_of
from stores.models import ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from tests.support.bundles import registered, sealed_tfidf_bundle
from tests.support.engines import tracking_in


class Watched:
    """A follower that is polled by hand, and what it told."""

    def __init__(self, settings: TrackingSettings, key: str | None = None) -> None:
        self.swaps: list[ServedModel] = []
        self.failures = 0
        self.follower = ChampionFollower(
            settings,
            SigningSettings(model_signing_key=key),
            poll_seconds=0.01,
            on_swap=self.swaps.append,
            on_failure=self._failed,
        )

    def _failed(self) -> None:
        self.failures += 1

    @property
    def version(self) -> str | None:
        return self.follower.served.version if self.follower.served else None

    @property
    def problem(self) -> str:
        return self.follower.following.problem or ""


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


def test_nothing_registered_says_what_to_do(settings):
    watched = Watched(settings)
    watched.follower.poll()
    assert watched.version is None
    assert "has no 'champion': train one with `python -m training run`" in watched.problem
    assert watched.follower.following.advice == watched.problem
    assert watched.failures == 1


def test_the_newly_promoted_is_swapped_in_and_rollback_goes_back(settings, registry, bundle, second_bundle):
    watched = Watched(settings)
    registered(registry, bundle)
    watched.follower.poll()
    first = watched.follower.served
    assert first is not None
    assert (first.name, first.version, first.alias) == (registry.name, "1", "champion")
    assert first.tags["test_macro_f1"] == "0.9500"
    watched.follower.poll()
    assert watched.follower.served is first, "nothing is loaded again without need"

    registered(registry, second_bundle, promote=False)
    watched.follower.poll()
    assert watched.follower.served is first, "a version that is not promoted is not served"
    registry.promote("2")
    watched.follower.poll()
    assert watched.version == "2"
    registry.rollback()
    watched.follower.poll()
    assert watched.version == "1"
    assert [model.version for model in watched.swaps] == ["1", "2", "1"]
    assert watched.failures == 0


def test_tags_added_after_promotion_are_told(settings, registry, bundle):
    watched = Watched(settings)
    registered(registry, bundle)
    watched.follower.poll()
    registry.tag("1", {"test_accuracy": "0.9600"})
    watched.follower.poll()
    assert watched.follower.served is not None
    assert watched.follower.served.tags["test_accuracy"] == "0.9600"
    assert len(watched.swaps) == 1


@pytest.mark.parametrize("damage", ["hash", "golden"])
def test_a_bad_version_leaves_the_old_one_in_place(settings, registry, bundle, tmp_path, damage):
    watched = Watched(settings)
    registered(registry, bundle)
    watched.follower.poll()
    old = watched.follower.served
    bad = tmp_path / "bad"
    shutil.copytree(bundle, bad)
    if damage == "hash":
        (bad / "pipeline.skops").write_bytes(b"not what it was")
    else:
        _forget(bad)
    registered(registry, bad)
    watched.follower.poll()
    assert watched.follower.served is old
    assert f"{registry.name} version 2 cannot be served" in watched.problem
    assert "version 1 keeps answering" in watched.problem
    assert str(tmp_path) not in str(watched.follower.following.advice)
    assert watched.failures == 1

    registry.rollback()
    watched.follower.poll()
    assert watched.problem == ""
    assert watched.follower.served is old


def _forget(folder: Path) -> None:
    """Change what the golden texts should give, and seal the folder again."""
    from classifier.manifest import write_manifest

    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    golden["texts"][0]["probabilities"].reverse()
    (folder / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    write_manifest(folder, data={})


def test_a_version_that_failed_is_not_loaded_at_every_poll(settings, registry, bundle, tmp_path, monkeypatch):
    watched = Watched(settings)
    bad = tmp_path / "bad"
    shutil.copytree(bundle, bad)
    (bad / "pipeline.skops").write_bytes(b"not what it was")
    registered(registry, bad)
    watched.follower.poll()
    monkeypatch.setattr("service.champion.time.monotonic", lambda: 0.0)
    before = watched.failures
    for _ in range(5):
        watched.follower.poll()
    assert watched.failures == before
    monkeypatch.setattr("service.champion.time.monotonic", lambda: 1e9)
    watched.follower.poll()
    assert watched.failures == before + 1


def test_without_mlflow_the_last_known_champion_is_served(settings, registry, bundle, home):
    registered(registry, bundle)
    Watched(settings).follower.poll()  # remembers, and fills the cache
    database = home / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"this is no database any more" * 1000)
    try:
        watched = Watched(settings)
        watched.follower.poll()
        assert watched.version == "1"
        assert "MLflow at sqlite" in watched.problem
        assert watched.follower.following.last_poll is None
        watched.follower.poll()
        assert len(watched.swaps) == 1
    finally:
        database.write_bytes(content)
    watched.follower.poll()
    assert (watched.version, watched.problem) == ("1", "")
    assert watched.follower.following.last_poll is not None
    assert len(watched.swaps) == 1, "it was the right one all along"


def test_a_damaged_copy_in_the_cache_is_fetched_again(settings, registry, bundle):
    registered(registry, bundle)
    copy = registry.fetch(registry.by_alias())
    (copy / "pipeline.skops").write_bytes(b"half of it")
    (copy / "golden.json").unlink()
    watched = Watched(settings)
    watched.follower.poll()
    assert watched.version == "1"
    assert watched.problem == ""
    assert (copy / "golden.json").is_file()


def test_without_mlflow_and_without_a_cache_it_says_so_without_addresses(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    watched = Watched(tracking_in(tmp_path))
    watched.follower.poll()
    assert watched.version is None
    assert (
        watched.follower.following.advice == "the model registry does not answer; the log and /model say why"
    )


def test_an_unsigned_champion_is_refused_when_a_key_is_set(settings, registry, bundle, tmp_path):
    registered(registry, bundle)
    watched = Watched(settings, key="a signing key")
    watched.follower.poll()
    assert watched.version is None
    assert "is not signed" in watched.problem
    sealed_tfidf_bundle(tmp_path / "signed", signing_key="a signing key")
    registered(registry, tmp_path / "signed")
    watched.follower.poll()
    assert watched.version == "2"


def test_a_pinned_version_is_kept_whatever_is_promoted(settings, registry, bundle, second_bundle):
    registered(registry, bundle)
    registered(registry, second_bundle)
    watched = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}/1"}))
    watched.follower.poll()
    assert watched.version == "1"
    assert watched.follower.following.source == f"models:/{registry.name}/1"


def test_another_alias_can_be_followed(settings, registry, bundle, second_bundle):
    registered(registry, bundle)
    registered(registry, second_bundle, promote=False)
    registry.challenge("2")
    watched = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}@challenger"}))
    watched.follower.poll()
    assert watched.version == "2"
    assert watched.follower.served is not None
    assert watched.follower.served.alias == "challenger"


def test_a_folder_is_served_without_any_registry(tmp_path, bundle):
    watched = Watched(TrackingSettings(var_dir=tmp_path, model_uri=str(bundle)))
    watched.follower.poll()
    served = watched.follower.served
    assert served is not None
    assert (served.name, served.version, served.alias) == ("news", "folder", None)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_folder_that_is_no_bundle_is_told(tmp_path):
    watched = Watched(TrackingSettings(var_dir=tmp_path, model_uri=str(tmp_path / "nothing")))
    watched.follower.poll()
    assert watched.version is None
    assert "nothing" in watched.problem


@pytest.mark.parametrize("uri", ["models:/news", "models:/news/latest", "models:/a/b/3", "models:"])
def test_an_address_that_is_none_is_refused_at_the_start(uri):
    with pytest.raises(ValueError, match="must be models:/NAME/VERSION, models:/NAME@ALIAS or the folder"):
        source_of(TrackingSettings(model_uri=uri))


def test_the_follower_survives_what_nobody_foresaw(settings, monkeypatch):
    watched = Watched(settings)

    def broken() -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(watched.follower._source, "wanted", broken)
    watched.follower.start()
    try:
        while watched.failures < 3:
            assert watched.follower.alive
        assert "unexpected RuntimeError" in watched.problem
    finally:
        watched.follower.stop(5)
    assert not watched.follower.alive


def test_importing_the_service_imports_no_training_library():
    import subprocess

    code = (
        "import sys, service.app; print(','.join(sorted({'torch', 'pandas', 'transformers', 'mlflow', 'training', "
        "'monitoring', 'pyarrow', 'sklearn'} & set(sys.modules))))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
