"""A version that cannot be served leaves the loaded one in place, with the reason of the refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from service.inference.bundle_check import CheckLimits
from tests.service.inference.following.conftest import Watched
from tests.support.broken_bundles import broken, endless_network
from tests.support.bundles import registered


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
