"""Promotion against the champion that was compared: killed at each write, many at once, and what repairs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest

from stores import lease
from stores.alias_changes import CHALLENGER, CHAMPION, INTENT, PREVIOUS, PROMOTED_AT, AliasChanges
from stores.errors import ChampionChanged, ModelNotRegistered, PromotionBusy
from stores.lease import LEASE_PREFIX
from stores.promotion import label_tags, labels_digest
from stores.registry import ModelRegistry
from tests import golden_messages as messages
from tests.support.killed_promotions import BEATEN, DONE, KILLED, settings_in
from tests.support.registries import with_tables

ROOT = Path(__file__).parents[2]
LABELS = {"1": ["a", "b"], "2": ["a", "c"], "3": ["a", "b"]}
LAST_WRITE = 9
MOVED = 4
"""The write that moves the alias `champion`: the lease, the intent and `promoted_at` come before it."""


def script(*arguments: object) -> object:
    command = [sys.executable, "-m", "tests.support.killed_promotions", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with versions 1 (champion), 2 (challenger) and 3 (previous); their artifacts do not matter here."""
    var = with_tables(tmp_path_factory.mktemp("three"))
    registry = ModelRegistry(settings_in(var))
    client = registry.client
    client.create_registered_model(registry.name)
    for version, labels in LABELS.items():
        made = client.create_model_version(
            registry.name, f"s3://nowhere/m-{version}", tags=label_tags(labels)
        )
        assert str(made.version) == version
    registry.promote("3")
    registry.promote("1")
    registry.challenge("2")
    assert registry.aliases() == {CHAMPION: "1", CHALLENGER: "2", PREVIOUS: "3"}
    return var


@pytest.fixture(scope="module")
def killed(three: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """Folders 1, 2, …: the registry after a promotion of version 2 that was killed before that write."""
    target = tmp_path_factory.mktemp("killed")
    return target, script("kill", three, target, LAST_WRITE + 1)  # type: ignore[return-value]


@pytest.fixture
def registry(three: Path, tmp_path: Path) -> ModelRegistry:
    shutil.copy(three / "mlflow.db", tmp_path)
    return ModelRegistry(settings_in(tmp_path))


def tags(registry: ModelRegistry) -> dict[str, str]:
    return dict(registry.client.get_registered_model(registry.name).tags)


def test_every_write_is_a_place_to_be_killed_at(killed: tuple[Path, list[int]]) -> None:
    assert killed[1] == [KILLED] * LAST_WRITE + [DONE]


@pytest.mark.parametrize("number", range(1, LAST_WRITE + 2))
@pytest.mark.parametrize("command", ["rollback", "promote"])
def test_a_promotion_killed_at_any_write_is_completed_or_undone(
    killed: tuple[Path, list[int]], tmp_path: Path, number: int, command: str
) -> None:
    shutil.copy(killed[0] / str(number) / "mlflow.db", tmp_path)
    registry = ModelRegistry(settings_in(tmp_path))
    moved = number > MOVED
    champion, other, labels = ("2", "1", LABELS["2"]) if moved else ("1", "3", LABELS["1"])
    # Before anything is repaired, the champion and the labels that it may have are of one version.
    assert registry.aliases()[CHAMPION] == champion
    assert registry.accepted_labels() == labels_digest(labels)
    if command == "rollback":
        assert registry.rollback().version == other
        champion, other = other, champion
    else:
        interrupted = 2 < number < LAST_WRITE
        assert len(registry.repair()) == interrupted
        assert registry.repair() == []
        registry.promote("2", accept_labels=True, expected=champion)
        champion, other = "2", "1"
    aliases = registry.aliases()
    assert (aliases[CHAMPION], aliases[PREVIOUS]) == (champion, other)
    if champion == "2":
        assert PROMOTED_AT in registry.by_version("2").tags
    left = tags(registry)
    assert INTENT not in left
    assert not [key for key in left if key.startswith(LEASE_PREFIX)]
    assert registry.accepted_labels() == labels_digest(LABELS[champion])


def test_a_promotion_against_another_champion_changes_nothing(registry: ModelRegistry) -> None:
    before = registry.aliases(), tags(registry), registry.by_version("2").tags
    for expected in ("3", None):
        with pytest.raises(ChampionChanged) as raised:
            registry.promote("2", expected=expected)
        assert raised.value.champion == "1"
    assert (registry.aliases(), tags(registry), registry.by_version("2").tags) == before
    assert registry.promote("1", expected="3").version == "1", "it is champion already"
    assert registry.aliases()[PREVIOUS] == "3"
    registry.promote("2", expected="1")
    assert registry.aliases() == {CHAMPION: "2", PREVIOUS: "1"}


def test_the_first_champion_is_compared_with_none(registry: ModelRegistry) -> None:
    for alias in registry.aliases():
        registry.client.delete_registered_model_alias(registry.name, alias)
    registry.promote("1", expected=None)
    with pytest.raises(ChampionChanged):
        registry.promote("2", expected=None)
    assert registry.aliases() == {CHAMPION: "1"}
    with pytest.raises(ModelNotRegistered):
        registry.rollback()


def test_a_rollback_to_the_same_version_says_so(registry: ModelRegistry) -> None:
    registry.client.set_registered_model_alias(
        registry.name, PREVIOUS, "1"
    )  # as older releases could leave it
    with pytest.raises(ModelNotRegistered, match=messages.ALIASES_MISSING):
        registry.rollback()
    assert registry.aliases()[CHAMPION] == "1"


@pytest.mark.parametrize("lock", ["file", "lease"])
def test_of_promotions_at_once_against_one_champion_one_wins(three: Path, tmp_path: Path, lock: str) -> None:
    shutil.copy(three / "mlflow.db", tmp_path)
    results = script(lock, tmp_path, 3)
    assert isinstance(results, list)
    for statuses in results:
        assert sorted(statuses) == [DONE, BEATEN], statuses
    registry = ModelRegistry(settings_in(tmp_path))
    aliases = registry.aliases()
    assert aliases[CHAMPION] != aliases[PREVIOUS]
    assert not [key for key in tags(registry) if key.startswith((LEASE_PREFIX, INTENT))]


def test_a_lease_of_another_machine_is_waited_for(registry: ModelRegistry) -> None:
    def lease(seconds: float, **more: object) -> None:
        value = {"expires_at": time.time() + seconds, "holder": "other", "file_lock": False, **more}
        registry.client.set_registered_model_tag(registry.name, f"{LEASE_PREFIX}ff", json.dumps(value))

    changes = AliasChanges(registry.client, registry.name, None, lease_seconds=0.4)
    lease(60)
    with pytest.raises(PromotionBusy, match="other"):
        changes.promote("2", expected="1", accepted=None)
    assert registry.aliases()[CHAMPION] == "1"
    lease(0.2)
    changes = AliasChanges(registry.client, registry.name, None)
    changes.promote("2", expected="1", accepted=None)
    lease(60, file_lock=True)  # left over by a process that died: the file lock is free
    registry.promote("3", expected="2")
    registry.client.set_registered_model_tag(registry.name, f"{LEASE_PREFIX}ee", "not JSON")
    registry.promote("1", expected="3")
    assert not [key for key in tags(registry) if key.startswith(LEASE_PREFIX)]


def test_a_promotion_whose_lease_ran_out_stops_and_is_repaired(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = 0.0
    monkeypatch.setattr(
        lease,
        "time",
        SimpleNamespace(
            monotonic=lambda: time.monotonic() + late, time=lambda: time.time() + late, sleep=time.sleep
        ),
    )
    changes = AliasChanges(registry.client, registry.name, None, lease_seconds=60)
    moved = mlflow.MlflowClient.set_registered_model_alias

    def slowly(*args: object, **kwargs: object) -> None:
        nonlocal late
        moved(*args, **kwargs)  # type: ignore[arg-type]
        late = 61

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "set_registered_model_alias", slowly)
        with pytest.raises(PromotionBusy, match=messages.PROMOTION_UNFINISHED):
            changes.promote("2", expected="1", accepted=None)
    assert registry.aliases()[PREVIOUS] == "3"
    assert len(registry.repair()) == 1
    assert registry.aliases() == {CHAMPION: "2", PREVIOUS: "1"}


@pytest.mark.parametrize("content", ["not JSON", "{}", "[]", '{"version": "2"}'])
def test_an_intent_that_cannot_be_read_is_removed(registry: ModelRegistry, content: str) -> None:
    registry.client.set_registered_model_tag(registry.name, INTENT, content)
    assert messages.ALIAS_CHANGE_UNREADABLE in registry.repair()[0]
    assert registry.aliases()[CHAMPION] == "1"
    assert INTENT not in tags(registry)
