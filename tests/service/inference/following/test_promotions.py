"""What is promoted is served, with the tags that it has by then."""

from __future__ import annotations

import sys
import threading
import time
from typing import get_args

from service.inference.follower_state import ProblemReason
from service.observability.metrics import Metrics
from tests import golden_messages as messages
from tests.service.inference.following.conftest import Watched
from tests.support.bundles import registered


def test_nothing_registered_says_what_to_do(settings):
    watched = Watched(settings)
    watched.follower.poll()
    assert watched.version is None
    assert messages.CHAMPION_MISSING in watched.problem
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


def test_another_alias_can_be_followed(settings, registry, bundle, second_bundle):
    registered(registry, bundle)
    registered(registry, second_bundle, promote=False)
    registry.challenge("2")
    watched = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}@challenger"}))
    watched.follower.poll()
    assert watched.version == "2"
    assert watched.follower.served is not None
    assert watched.follower.served.alias == "challenger"


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


def test_the_follower_survives_unexpected_errors(settings, monkeypatch):
    watched = Watched(settings)

    def broken() -> None:
        raise RuntimeError("unexpected")

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
