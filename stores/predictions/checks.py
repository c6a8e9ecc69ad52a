"""The history of monitoring: its checks, and the last alert sent to each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from stores.predictions.schema import alert_states, checks
from stores.predictions.store import PredictionStore


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one window."""

    checked_at: float
    since: float
    until: float
    model_name: str
    model_version: str
    status: str
    summary: str
    report: str
    """Path of its report."""
    signals: Mapping[str, Mapping[str, Any]]
    """Name of a drift signal → `value`, `threshold` (both may be None), `status`."""
    accuracy: float | None
    labelled: int
    retrained_at: float | None = None
    """When a retraining began because of this check."""
    retrain_status: int | None = None
    """Exit status of that retraining; None while it runs, INTERRUPTED where the process that began it was stopped."""
    latency_only: bool | None = None
    """Whether nothing but the service's latency is in breach; None: an older release, which did not look at it."""
    id: int = 0


@dataclass(frozen=True, slots=True)
class ChannelState:
    """The last message that was sent to an alert channel about a model."""

    status: str
    reasons: tuple[str, ...]
    at: float


LOST_AFTER = 86400.0
"""Seconds after which a retraining without a recorded end counts as lost: its process was killed."""

INTERRUPTED = 130
"""Exit status of an interrupted retraining; it does not block another one."""

NOTHING_SENT = ChannelState("ok", (), 0.0)
"""State of a channel to which nothing was sent."""


def holds_back(began: float | None, status: int | None, *, cooldown: float, now: float) -> bool:
    """Whether a retraining forbids another: it may still run, or began too short a time ago.

    A time that lies further ahead than that was written before the clock was set back. It counts as no time, or nothing
    would be retrained until the clock has reached it.

    Args:
        began: `Check.retrained_at`.
        status: `Check.retrain_status`.
        cooldown: seconds from the beginning of one retraining to the next.
        now: seconds since the epoch.
    """
    patience = cooldown if status is not None else max(cooldown, LOST_AFTER)
    return began is not None and status != INTERRUPTED and abs(now - began) < patience


class CheckLog:
    """The checks in a prediction store. Every method raises PredictionStoreError when the database cannot."""

    def __init__(self, store: PredictionStore) -> None:
        self._store = store

    def add(self, check: Check) -> int:
        """Keep a check; its id."""
        values = asdict(check)
        del values["id"]
        with self._store.writing() as connection:
            key = connection.execute(insert(checks), values).inserted_primary_key
        assert key is not None
        return int(key[0])

    def last(self, count: int, model_name: str) -> list[Check]:
        """The last `count` checks of a model, the oldest first."""
        query = select(checks).where(checks.c.model_name == model_name)
        query = query.order_by(checks.c.checked_at.desc(), checks.c.id.desc()).limit(count)
        with self._store.reading() as connection:
            return [_check(row) for row in reversed(connection.execute(query).all())]

    def of_windows(self, since: float, model_name: str, *, limit: int | None = None) -> list[Check]:
        """Checks of a model's windows that end at `since` or later, the oldest window first; the last `limit`."""
        query = select(checks).where(checks.c.model_name == model_name, checks.c.until >= since)
        query = query.order_by(checks.c.until.desc(), checks.c.id.desc()).limit(limit)
        with self._store.reading() as connection:
            return [_check(row) for row in reversed(connection.execute(query).all())]

    def retrainings(self, model_name: str, *, limit: int = 100) -> list[Check]:
        """The last checks of a model that led to a retraining, the newest retraining first."""
        query = select(checks).where(checks.c.model_name == model_name, checks.c.retrained_at.is_not(None))
        # By the order in which they were written: clocks are set back.
        query = query.order_by(checks.c.id.desc()).limit(limit)
        with self._store.reading() as connection:
            return [_check(row) for row in connection.execute(query)]

    def begin_retraining(self, check_id: int, model_name: str, *, cooldown: float, now: float) -> bool:
        """Note that a retraining begins, unless one of the model began within the last `cooldown` seconds, or runs.

        Of several processes that ask at once, one gets True.
        """
        with self._store.writing() as connection:
            # The model's rows are locked in one order, so that the second process sees what the first one noted.
            rows = select(checks.c.retrained_at, checks.c.retrain_status).where(
                checks.c.model_name == model_name
            )
            for began, status in connection.execute(rows.order_by(checks.c.id).with_for_update()):
                if holds_back(began, status, cooldown=cooldown, now=now):
                    return False
            connection.execute(update(checks).where(checks.c.id == check_id).values(retrained_at=now))
            return True

    def end_retraining(self, check_id: int, status: int) -> None:
        """Note how a retraining ended: its exit status, or INTERRUPTED."""
        with self._store.writing() as connection:
            connection.execute(update(checks).where(checks.c.id == check_id).values(retrain_status=status))

    # -- alerts -------------------------------------------------------------------------------------------------

    def claim_channel(
        self, model_name: str, channel: str, *, now: float, lease: float
    ) -> ChannelState | None:
        """Claim a channel for `lease` seconds; returns its state, or None: another process has claimed it."""
        row = and_(alert_states.c.model_name == model_name, alert_states.c.channel == channel)
        with self._store.writing() as connection:
            found = connection.execute(select(alert_states).where(row).with_for_update()).first()
            if found is None:
                state = {"status": NOTHING_SENT.status, "reasons": [], "told_at": NOTHING_SENT.at}
                try:
                    with connection.begin_nested():
                        connection.execute(
                            insert(alert_states).values(
                                model_name=model_name, channel=channel, claimed_until=now + lease, **state
                            )
                        )
                except IntegrityError:  # another process was first
                    return None
                return NOTHING_SENT
            # A claim beyond a lease from now was made before the clock was set back; its owner has ended.
            if now < found.claimed_until <= now + lease:
                return None
            connection.execute(update(alert_states).where(row).values(claimed_until=now + lease))
            return ChannelState(found.status, tuple(found.reasons), found.told_at)

    def release_channel(
        self, model_name: str, channel: str, *, status: str, reasons: Sequence[str], at: float
    ) -> None:
        """Give the right back, with what the channel knows now."""
        row = and_(alert_states.c.model_name == model_name, alert_states.c.channel == channel)
        values = {"status": status, "reasons": list(reasons), "told_at": at, "claimed_until": 0.0}
        with self._store.writing() as connection:
            connection.execute(update(alert_states).where(row).values(**values))


def _check(row: Row[Any]) -> Check:
    """A row of `checks`; a column's key may differ from its name in the database."""
    return Check(**{column.key: row._mapping[column] for column in checks.c})
