"""FollowerState the champion: swapped when promoted, kept when the new one is bad, found when MLflow is away."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import get_args

import pytest

from classifier import SigningKeys
from service.inference.bundle_check import CheckLimits
from service.inference.follower_state import ProblemReason
from service.inference.jobs import ServedModel
from service.inference.model_follower import ChampionFollower
from service.inference.model_sources import source_of
from service.observability.metrics import Metrics
from stores.errors import BadModelReference
from stores.registry import ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from tests.support.broken_bundles import broken, endless_network
from tests.support.bundles import registered, sealed_tfidf_bundle
from tests.support.engines import tracking_in


class Watched:
    """A follower that is polled by hand, and what it told."""

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


def test_nothing_registered_says_what_to_do(settings):
    watched = Watched(settings)
    watched.follower.poll()
    assert watched.version is None
    assert "has no 'champion': train one with `python -m training run`" in watched.problem
    assert watched.follower.state.advice == watched.problem
    assert watched.failures == 1


def test_a_promotion_and_a_rollback_change_the_served_version(settings, registry, bundle, second_bundle):
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
    assert str(tmp_path) not in str(watched.follower.state.advice)
    assert watched.failures == 1

    registry.rollback()
    watched.follower.poll()
    assert watched.problem == ""
    # The rollback may renew the version's tags; the classifier in memory is the one that was never unloaded.
    assert watched.follower.served.classifier is old.classifier
    assert [model.version for model in watched.swaps] == ["1"]


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
    monkeypatch.setattr("service.inference.model_follower.time.monotonic", lambda: 0.0)
    before = watched.failures
    for _ in range(5):
        watched.follower.poll()
    assert watched.failures == before
    monkeypatch.setattr("service.inference.model_follower.time.monotonic", lambda: 1e9)
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
        assert watched.follower.state.last_poll is None
        watched.follower.poll()
        assert len(watched.swaps) == 1
    finally:
        database.write_bytes(content)
    watched.follower.poll()
    assert (watched.version, watched.problem) == ("1", "")
    assert watched.follower.state.last_poll is not None
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


def test_without_mlflow_or_cache_it_says_so_without_addresses(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    watched = Watched(tracking_in(tmp_path))
    watched.follower.poll()
    assert watched.version is None
    assert watched.follower.state.advice == "the model registry does not answer; the log and /model say why"


def test_an_unsigned_champion_is_refused_when_a_key_is_set(settings, registry, bundle, tmp_path):
    registered(registry, bundle)
    watched = Watched(settings, key="a signing key")
    watched.follower.poll()
    assert watched.version is None
    assert "is not signed" in watched.problem
    sealed_tfidf_bundle(tmp_path / "signed", signing_key="a signing key")
    registered(registry, tmp_path / "signed", keys=SigningKeys("a signing key"))
    watched.follower.poll()
    assert watched.version == "2"


def test_a_pinned_version_is_kept_whatever_is_promoted(settings, registry, bundle, second_bundle):
    registered(registry, bundle)
    registered(registry, second_bundle)
    watched = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}/1"}))
    watched.follower.poll()
    assert watched.version == "1"
    assert watched.follower.state.source == f"models:/{registry.name}/1"


def test_another_alias_can_be_followed(settings, registry, bundle, second_bundle):
    registered(registry, bundle)
    registered(registry, second_bundle, promote=False)
    registry.challenge("2")
    watched = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}@challenger"}))
    watched.follower.poll()
    assert watched.version == "2"
    assert watched.follower.served is not None
    assert watched.follower.served.alias == "challenger"


@pytest.fixture(scope="module")
def other_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle with a label that the others lack."""
    folder = tmp_path_factory.mktemp("bundles") / "renamed"
    sealed_tfidf_bundle(folder, renamed={"tech": "science", "sports": "sport"})
    return folder


def test_other_labels_are_not_served_until_they_are_accepted(
    settings, registry, bundle, second_bundle, other_labels
):
    watched = Watched(settings)
    registered(registry, bundle)
    watched.follower.poll()
    registered(registry, other_labels)  # the alias moves, and nobody accepts the labels
    watched.follower.poll()
    assert watched.version == "1"
    assert "version 2 has other labels" in watched.problem
    assert "(adds science and sport; lacks sports and tech)" in watched.problem
    assert "version 1 keeps answering" in watched.problem
    assert watched.refused == [False, True]
    assert watched.failures == 1

    # A restart, and a replica that has served nothing yet, decide the same.
    restarted = Watched(settings)
    restarted.follower.poll()
    assert restarted.version == "1"
    assert "version 2 has other labels" in restarted.problem
    fresh = Watched(settings.model_copy(update={"var_dir": settings.var_dir / registry.name}))
    fresh.follower.poll()
    assert fresh.version is None
    assert "version 2 has other labels" in fresh.problem
    assert "are not accepted" in (fresh.follower.state.advice or "")

    registry.promote("2", accept_labels=True)
    for each in (watched, restarted, fresh):
        each.follower.poll()
        assert (each.version, each.problem) == ("2", "")
    assert watched.refused[-1] is False
    registry.rollback()
    watched.follower.poll()
    assert (watched.version, watched.problem) == ("1", "")
    registered(registry, second_bundle)
    watched.follower.poll()
    assert (watched.version, watched.problem) == ("3", "")


def test_without_accepted_labels_the_last_served_ones_decide(settings, registry, bundle, other_labels, home):
    registered(registry, bundle, promote=False)
    registered(registry, other_labels, promote=False)
    client = registry.client  # as a person does it on MLflow's page
    client.set_registered_model_alias(registry.name, "champion", "1")
    watched = Watched(settings)
    watched.follower.poll()
    assert watched.version == "1"
    client.set_registered_model_alias(registry.name, "champion", "2")
    restarted = Watched(settings)
    restarted.follower.poll()
    assert restarted.version == "1"
    assert "version 2 has other labels" in restarted.problem
    database = home / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"this is no database any more" * 1000)
    try:
        away = Watched(settings)
        away.follower.poll()
        assert away.version == "1", "the alias's last known version is one that was refused"
    finally:
        database.write_bytes(content)

    told = Watched(settings, allow_label_change=True)
    told.follower.poll()
    assert (told.version, told.problem) == ("2", "")
    pinned = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}/1"}))
    pinned.follower.poll()
    assert (pinned.version, pinned.problem) == ("1", "")


@pytest.mark.parametrize("kind", ["other_estimator", "deep", "files_numbers"])
def test_a_broken_version_is_refused_once_with_its_reason(settings, registry, bundle, tmp_path, caplog, kind):
    watched = Watched(settings)
    registered(registry, bundle)
    watched.follower.poll()
    registered(registry, broken(bundle, tmp_path / "broken", kind))
    caplog.clear()
    for _ in range(3):
        watched.follower._rejected = None  # as if the pause were over
        watched.follower.poll()
    assert watched.version == "1"
    assert watched.problem.startswith(f"{registry.name} version 2 cannot be served: ")
    assert "unexpected" not in watched.problem
    assert watched.reasons[-3:] == ["bundle_refused"] * 3
    assert [record.message for record in caplog.records].count("champion_not_followed") == 1
    assert not any(record.exc_info for record in caplog.records)


def test_another_kind_is_named_and_the_loaded_one_remembered(settings, registry, bundle, home):
    import mlflow.sklearn
    from sklearn.linear_model import LogisticRegression

    registered(registry, bundle)
    watched = Watched(settings)
    watched.follower.poll()
    with registry.run("tests", "foreign"):
        logged = mlflow.sklearn.log_model(
            LogisticRegression().fit([[0.0], [1.0]], [0, 1]), name="model", pip_requirements=[],
            serialization_format="pickle",
        )  # fmt: skip
    registry.register(logged.model_uri)
    registry.client.set_registered_model_alias(registry.name, "champion", "2")
    for _ in range(2):
        watched.follower._rejected = None
        watched.follower.poll()
    assert watched.version == "1"
    said = "version 2 is not a bundle of this project: it is an MLflow model of the flavor sklearn"
    assert f"{registry.name} {said}" in watched.problem
    assert watched.reasons[-1] == "not_a_bundle"

    database = home / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"this is no database any more" * 1000)
    try:
        restarted = Watched(settings)
        restarted.follower.poll()
        assert restarted.version == "1"
        assert restarted.reasons == ["registry_unavailable"]
    finally:
        database.write_bytes(content)


def test_a_cached_pinned_version_needs_no_registry(settings, registry, bundle, home):
    registered(registry, bundle)
    pinned = settings.model_copy(update={"model_uri": f"models:/{registry.name}/1"})
    Watched(pinned).follower.poll()
    database = home / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"this is no database any more" * 1000)
    try:
        watched = Watched(pinned)
        watched.follower.poll()
        assert watched.version == "1"
        assert watched.reasons == ["registry_unavailable"]
        other = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}/2"}))
        other.follower.poll()
        assert other.version is None
    finally:
        database.write_bytes(content)


def test_a_hanging_registry_does_not_delay_a_cached_start(settings, registry, bundle, tmp_path):
    registered(registry, bundle)
    local = settings.model_copy(update={"var_dir": tmp_path})
    Watched(local).follower.poll()
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # accepts in its backlog, and never answers
        address = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        (cache,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
        digest = hashlib.sha256(address.encode()).hexdigest()[:8]
        cache.rename(cache.with_name(f"{cache.name.rpartition('-')[0]}-{digest}"))
        watched = Watched(local.model_copy(update={"mlflow_tracking_uri": address}))
        watched.follower.start()
        try:
            give_up = time.monotonic() + 60
            while watched.version is None:
                assert time.monotonic() < give_up
                time.sleep(0.02)
            assert watched.version == "1"
            assert watched.follower.state.last_poll is None, "the registry has not answered yet"
            assert watched.problem == ""
        finally:
            watched.follower.stop(5)
        assert not watched.follower.alive, "the question that is under way does not hold up the end"


def test_a_start_prefers_the_registry_to_the_cache(settings, registry, bundle, second_bundle):
    registered(registry, bundle)
    Watched(settings).follower.poll()
    registered(registry, second_bundle)
    watched = Watched(settings)
    look = watched.follower._source.target
    answered = threading.Event()

    def target():
        found = look()
        answered.set()
        return found

    watched.follower._source.target = target
    loaded = watched.follower._loaded
    watched.follower._loaded = lambda known: (answered.wait(60) and time.sleep(0.2)) or loaded(known)
    watched.follower._first_poll()
    assert [model.version for model in watched.swaps] == ["2"]


def test_a_version_that_never_ends_is_given_up_and_told(settings, registry, bundle, tmp_path):
    registered(registry, bundle)
    watched = Watched(settings, limits=CheckLimits())
    watched.follower.poll()
    assert watched.version == "1"
    watched.follower._limits = CheckLimits(seconds=3)
    registered(registry, bundle)
    folder = registry.fetch(registry.by_version("2"))
    shutil.rmtree(folder)  # put there by hand: MLflow would run it when it is logged, and never end either
    shutil.copytree(endless_network(tmp_path / "endless"), folder)
    watched.follower.poll()
    assert watched.version == "1"
    assert f"{registry.name} version 2 cannot be served: " in watched.problem
    assert "MODEL_CHECK_SECONDS" in watched.problem
    assert watched.reasons[-1] == "check_failed"
    failures = watched.failures
    watched.follower.poll()
    assert watched.failures == failures, "it is not tried at every poll"
    registry.rollback()
    watched.follower.poll()
    assert (watched.problem, watched.reasons[-1]) == ("", None)


def test_a_signed_version_in_the_place_of_another_is_refused(settings, registry, bundle, second_bundle):
    keys = SigningKeys("a signing key")
    registered(registry, bundle, keys=keys)
    watched = Watched(settings, key="a signing key")
    watched.follower.poll()
    registered(registry, second_bundle, keys=keys)
    # The files of version 1, which were signed, are put where those of version 2 are.
    folder = registry.fetch(registry.by_version("2"))
    shutil.rmtree(folder)
    shutil.copytree(registry.fetch(registry.by_version("1")), folder)
    forget, watched.follower._source.forget = watched.follower._source.forget, lambda wanted: False
    watched.follower.poll()
    assert watched.version == "1"
    assert "not the one that was signed as" in watched.problem
    assert watched.reasons[-1] == "untrusted"
    # Where the registry has the right files, the copy in the cache is replaced by them.
    watched.follower._source.forget = forget
    watched.follower._rejected = None
    watched.follower.poll()
    assert watched.version == "2"


def test_the_kind_of_problem_is_a_gauge_with_known_labels():
    metrics = Metrics()

    def values():
        return {
            sample.labels["reason"]: sample.value
            for metric in metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "champion_follow_problem"
        }

    assert set(values()) == set(get_args(ProblemReason))
    assert sum(values().values()) == 0
    metrics.follow_problem("not_a_bundle")
    assert values()["not_a_bundle"] == 1
    metrics.follow_problem("labels")
    assert {reason for reason, value in values().items() if value} == {"labels"}
    metrics.follow_problem(None)
    assert sum(values().values()) == 0


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


@pytest.mark.parametrize("uri", ["models:/news", "models:/news/latest", "models:/a/b/3", "models:", "latest"])
def test_an_address_that_is_none_is_refused_at_the_start(uri):
    with pytest.raises(BadModelReference):
        source_of(TrackingSettings(model_uri=uri))


def test_the_follower_survives_what_nobody_foresaw(settings, monkeypatch):
    watched = Watched(settings)

    def broken() -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(watched.follower._source, "target", broken)
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
