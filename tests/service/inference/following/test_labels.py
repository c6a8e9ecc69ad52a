"""A champion with other labels is served once they are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import golden_messages as messages
from tests.service.inference.following.conftest import Watched
from tests.support.bundles import registered, sealed_tfidf_bundle


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
    registered(registry, other_labels)  # the alias moves, and the labels are not accepted
    watched.follower.poll()
    assert watched.version == "1"
    assert messages.OTHER_LABELS in watched.problem
    assert messages.OTHER_LABELS_LISTED in watched.problem
    assert "version 1 keeps answering" in watched.problem
    assert watched.refused == [False, True]
    assert watched.failures == 1

    # A restart, and a replica that has served nothing yet, decide the same.
    restarted = Watched(settings)
    restarted.follower.poll()
    assert restarted.version == "1"
    assert messages.OTHER_LABELS in restarted.problem
    fresh = Watched(settings.model_copy(update={"var_dir": settings.var_dir / registry.name}))
    fresh.follower.poll()
    assert fresh.version is None
    assert messages.OTHER_LABELS in fresh.problem
    assert messages.OTHER_LABELS_REFUSED in (fresh.follower.state.advice or "")

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
    assert messages.OTHER_LABELS in restarted.problem
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
