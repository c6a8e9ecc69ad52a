"""The command `prune`: what the prediction store forgets, by the policy of the settings."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

import click

from monitoring.errors import MonitoringError
from monitoring.failures import failures_told
from monitoring.settings import RetentionSettings
from monitoring.times import iso
from stores.predictions import PredictionStore
from stores.predictions.retention import Forgotten, Policy, Retention
from stores.settings import PredictionSettings

_DAY = 86400.0


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def prune(dry_run: bool) -> None:
    """Forget old predictions, by the settings RETENTION_…; may run while the service writes."""
    now = time.time()
    with failures_told("the pruning"):
        settings = RetentionSettings()
        policy, replacement = policy_of(settings, now), replacement_of(settings)
        if policy == Policy():
            click.echo("nothing to do: none of RETENTION_DAYS, _ROWS, _SAMPLE_DAYS and _TEXT_DAYS is set")
            return
        store = PredictionStore.open(PredictionSettings().url)
        try:
            retention = Retention(store, policy)
            done = retention.would_forget() if dry_run else retention.forget(replacement, now=now)
        finally:
            store.close()
    for line in told(done, policy, dry_run=dry_run):
        click.echo(line)


def policy_of(settings: RetentionSettings, now: float) -> Policy:
    """The policy of the settings, with days as moments."""

    def ago(days: float | None) -> float | None:
        return None if days is None else now - days * _DAY

    thin_before = ago(settings.retention_sample_days)
    return Policy(
        delete_before=ago(settings.retention_days),
        keep_rows=settings.retention_rows,
        thin_before=thin_before,
        thin_to=1.0 if thin_before is None else settings.retention_sample,
        redact_before=ago(settings.retention_text_days),
    )


def replacement_of(settings: RetentionSettings) -> Callable[[str], str]:
    """What is kept of a text.

    Raises:
        MonitoringError: hashes are wanted, and there is no key for them.
    """
    if settings.retention_text == "remove":
        return lambda _: ""
    if settings.retention_hash_key is None:
        raise MonitoringError(
            "RETENTION_TEXT is 'hash' and RETENTION_HASH_KEY is not set: short texts can be guessed from a hash "
            "without a key. Set one, or RETENTION_TEXT=remove"
        )
    key = settings.retention_hash_key.get_secret_value().encode()
    return lambda text: "hmac-sha256:" + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def told(done: Forgotten, policy: Policy, *, dry_run: bool) -> list[str]:
    """What was done, a line for each rule in force."""
    lines = []
    if policy.delete_before is not None:
        lines.append(f"deleted: {done.too_old} predictions from before {iso(policy.delete_before)}")
    if policy.keep_rows is not None:
        lines.append(f"deleted: {done.too_many} predictions, the oldest beyond {policy.keep_rows}")
    if policy.thin_before is not None:
        lines.append(
            f"deleted: {done.thinned} unlabelled predictions from before {iso(policy.thin_before)}, "
            f"of which {policy.thin_to:.0%} are kept"
        )
    if policy.redact_before is not None:
        lines.append(
            f"redacted: the texts of {done.redacted} predictions from before {iso(policy.redact_before)}"
        )
    return [f"would have {line}" for line in lines] if dry_run else lines
