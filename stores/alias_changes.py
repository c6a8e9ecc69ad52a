"""Changing who is champion, in one step as far as MLflow allows: compared, locked, and repaired after a kill.

A promotion is up to seven writes, and MLflow has no transaction for them. They are made under a lock (`stores.lease`),
after the champion was compared with the one that the promotion was decided against. The first write is an *intent*: a
tag that says what is going to change. Moving the alias `champion` decides: the next command that finds an intent
completes it where the alias has moved, and undoes it where it has not.

| write | killed after it |
|---|---|
| 1 tag `promotion_intent` | undone |
| 2 version's tag `promoted_at` | undone; the tag of a version that is not champion is not read |
| 3 alias `champion` | completed |
| 4 alias `previous` | completed |
| 5 tag `accepted_labels_digest` (where labels are accepted) | completed |
| 6 alias `challenger` removed (where it is the new champion) | completed |
| 7 tag `promotion_intent` removed | nothing is left to do |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stores.errors import ChampionChanged
from stores.lease import LEASE_SECONDS, Lease, model_lease
from stores.promotion import ACCEPTED_LABELS

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
PROMOTED_AT = "promoted_at"
"""Tag of a version: when it became champion last, ISO 8601, UTC. MLflow keeps no time of an alias."""
INTENT = "promotion_intent"
"""Tag of the registered model while a promotion is under way: JSON, the fields of `Intent`."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a promotion is going to change."""

    version: str
    """The champion to be."""
    before: str | None
    """The champion until now."""
    accepted: str | None
    """Digest of labels that the registry accepts from now on; None leaves it as it is."""
    at: str
    """When it was begun: ISO 8601, UTC."""

    @classmethod
    def in_tags(cls, tags: Mapping[str, str]) -> Intent | None:
        """The intent that a registered model's tags hold; None where they hold none that can be read."""
        try:
            return cls(**json.loads(tags[INTENT]))
        except (KeyError, ValueError, TypeError):
            return None


def accepted_labels(aliases: Mapping[str, str], tags: Mapping[str, str]) -> str | None:
    """Digest of the labels that the champion may have, also in the middle of a promotion; None where there is none."""
    intent = Intent.in_tags(tags)
    if intent is not None and intent.accepted is not None and aliases.get(CHAMPION) == intent.version:
        return intent.accepted
    return tags.get(ACCEPTED_LABELS)


class AliasChanges:
    """Writes to the aliases of one registered model.

    Args:
        client: of the registry.
        name: the model; it must exist.
        lock_file: see `stores.lease.model_lease`.
        lease_seconds: see `stores.lease.model_lease`.
    """

    def __init__(
        self, client: MlflowClient, name: str, lock_file: Path | None, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._client = client
        self._name = name
        self._lock_file = lock_file
        self._lease_seconds = lease_seconds

    def promote(self, version: str, *, expected: str | None, accepted: str | None) -> list[str]:
        """Make `version` the champion if `expected` is it until then.

        Args:
            version: it must exist.
            expected: version that has to be champion still; None: there has to be none.
            accepted: digest of labels to accept; None leaves it as it is.

        Returns:
            Sentences on interrupted promotions that were completed or undone before.

        Raises:
            ChampionChanged: another version is champion; nothing was changed.
            PromotionBusy: see `stores.lease`.
        """
        with self._locked() as (lease, aliases, repaired):
            current = aliases.get(CHAMPION)
            if current != expected:
                raise ChampionChanged(self._changed(current, expected, version), current)
            self._move(version, aliases, accepted, lease)
        return repaired

    def roll_back(self, version: str, *, expected: str | None, accepted: str | None) -> list[str]:
        """Like `promote`, and raise ChampionChanged also where `version` is no longer the previous champion."""
        with self._locked() as (lease, aliases, repaired):
            current = aliases.get(CHAMPION)
            if current != expected or aliases.get(PREVIOUS) != version:
                raise ChampionChanged(self._changed(current, expected, version), current)
            self._move(version, aliases, accepted, lease)
        return repaired

    def challenge(self, version: str) -> list[str]:
        """Make `version` the challenger, unless it is the champion; returns as `promote` does."""
        with self._locked() as (lease, aliases, repaired):
            if aliases.get(CHAMPION) != version:
                lease.check()
                self._client.set_registered_model_alias(self._name, CHALLENGER, version)
        return repaired

    def repair(self) -> list[str]:
        """Complete or undo a promotion that was interrupted; returns what was done, in sentences."""
        with self._locked() as (_, _, repaired):
            return repaired

    # -- inside ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[tuple[Lease, dict[str, str], list[str]]]:
        """The lock, the aliases under it, and what was repaired on the way."""
        with model_lease(self._client, self._name, self._lock_file, seconds=self._lease_seconds) as lease:
            repaired = self._repair(lease)
            yield lease, self._read()[0], repaired

    def _read(self) -> tuple[dict[str, str], dict[str, str]]:
        model = self._client.get_registered_model(self._name)
        return {key: str(value) for key, value in model.aliases.items()}, dict(model.tags or {})

    def _move(self, version: str, aliases: Mapping[str, str], accepted: str | None, lease: Lease) -> None:
        before = aliases.get(CHAMPION)
        if before == version:
            if accepted is not None:
                lease.check()
                self._client.set_registered_model_tag(self._name, ACCEPTED_LABELS, accepted)
            if aliases.get(CHALLENGER) == version:
                lease.check()
                self._client.delete_registered_model_alias(self._name, CHALLENGER)
            return
        intent = Intent(version, before, accepted, datetime.now(UTC).isoformat(timespec="seconds"))
        lease.check()
        self._client.set_registered_model_tag(self._name, INTENT, json.dumps(asdict(intent)))
        lease.check()
        self._client.set_model_version_tag(self._name, version, PROMOTED_AT, intent.at)
        lease.check()
        self._client.set_registered_model_alias(self._name, CHAMPION, version)
        self._complete(intent, aliases, lease)

    def _complete(self, intent: Intent, aliases: Mapping[str, str], lease: Lease) -> None:
        """What is left to do once the alias has moved; each step may have been done."""
        if intent.before is not None:
            lease.check()
            self._client.set_registered_model_alias(self._name, PREVIOUS, intent.before)
        if intent.accepted is not None:
            lease.check()
            self._client.set_registered_model_tag(self._name, ACCEPTED_LABELS, intent.accepted)
        if aliases.get(CHALLENGER) == intent.version:
            lease.check()
            self._client.delete_registered_model_alias(self._name, CHALLENGER)
        lease.check()
        self._client.delete_registered_model_tag(self._name, INTENT)

    def _repair(self, lease: Lease) -> list[str]:
        aliases, tags = self._read()
        if INTENT not in tags:
            return []
        intent = Intent.in_tags(tags)
        champion = aliases.get(CHAMPION)
        if intent is not None and champion == intent.version:
            self._complete(intent, aliases, lease)
            previous = f", version {intent.before} is the previous one" if intent.before else ""
            return [
                f"The promotion of version {intent.version} of {self._name}, begun at {intent.at}, had been "
                f"interrupted: it was completed. Version {intent.version} is champion{previous}."
            ]
        lease.check()
        self._client.delete_registered_model_tag(self._name, INTENT)
        now = f"version {champion} is champion" if champion else "there is no champion"
        if intent is None:
            return [f"The tag {INTENT} of {self._name} could not be read and was removed; {now}."]
        return [
            f"The promotion of version {intent.version} of {self._name}, begun at {intent.at}, had been interrupted: "
            f"it was undone, and {now}."
        ]

    def _changed(self, current: str | None, expected: str | None, version: str) -> str:
        was = f"version {expected} was champion" if expected else "there was no champion"
        now = f"now version {current} is" if current else "now there is none"
        return f"version {version} of {self._name} was not promoted: {was} when that was decided, {now}; compare again"
