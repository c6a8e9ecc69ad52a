"""Without MLflow the cached champion is served."""

from __future__ import annotations

import hashlib
import socket
import time

from tests import golden_messages as messages
from tests.service.inference.following.conftest import Watched
from tests.support.bundles import registered
from tests.support.engines import tracking_in


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
        assert messages.MLFLOW_AWAY in watched.problem
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
