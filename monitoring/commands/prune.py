"""The commands `prune` and `erase`: delete predictions by policy, by id or by text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import click

from monitoring.commands.failures import exit_on_failure
from monitoring.errors import MonitoringError
from monitoring.settings import RetentionSettings
from monitoring.times import iso
from stores.predictions import PredictionStore
from stores.predictions.erasure import Erased, erase_predictions, erase_texts
from stores.predictions.redaction import KEYED_PREFIX
from stores.predictions.retention import Forgotten, Policy, Retention
from stores.predictions.texts import keyed_hash, sha256_of_text
from stores.settings import PredictionSettings, TrackingSettings

_DAY = 86400.0


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def prune(dry_run: bool) -> None:
    """Forget old predictions, by the settings RETENTION_…; may run while the service writes."""
    now = time.time()
    with exit_on_failure("the pruning"):
        settings = RetentionSettings()
        policy, replacement = policy_of(settings, now), replacement_of(settings)
        if policy == Policy():
            click.echo("nothing to do: none of RETENTION_DAYS, _ROWS, _SAMPLE_DAYS and _TEXT_DAYS is set")
            return
        from monitoring.artifact_sweep import sweep  # brings MLflow, for which `--help` need not wait

        store = PredictionStore.open(PredictionSettings())
        try:
            retention = Retention(store, policy)
            done = retention.would_forget() if dry_run else retention.forget(replacement, now=now)
            swept = None if dry_run else sweep(store, TrackingSettings(), before=pruned_before(store, policy))
        finally:
            store.close()
    for line in prune_summary_lines(done, policy, dry_run=dry_run):
        click.echo(line)
    if swept is not None:
        for item in swept.removed:
            click.echo(f"removed: {item}")
        for item in swept.remaining:
            click.echo(f"remains: {item}")


def pruned_before(store: PredictionStore, policy: Policy) -> float | None:
    """Until when predictions may have lost their texts; None: none has.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    moments = [policy.delete_before, policy.thin_before, policy.redact_before]
    if policy.keep_rows is not None:
        moments.append(store.oldest())
    return max((moment for moment in moments if moment is not None), default=None)


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
    key = settings.retention_hash_key.get_secret_value()
    return lambda text: KEYED_PREFIX + keyed_hash(sha256_of_text(text), key)


def prune_summary_lines(done: Forgotten, policy: Policy, *, dry_run: bool) -> list[str]:
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


if TYPE_CHECKING:
    from monitoring.artifact_sweep import SweepResult

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_SPOOL = "*.spool"


@click.command()
@click.option("--id", "ids", multiple=True, metavar="ID", help="A prediction; may be given again.")
@click.option(
    "--text-hash",
    "hashes",
    multiple=True,
    metavar="HASH",
    help="Every prediction of a text: its SHA-256 in UTF-8, or a value of the column text_hash, in hexadecimal.",
)
@click.option(
    "--text", "files", multiple=True, type=click.File("rb"), metavar="FILE",
    help="Every prediction of the text in FILE, `-` for standard input: not as an argument, which others can see.",
)  # fmt: skip
@click.option(
    "--sweep-only",
    is_flag=True,
    help="Erase nothing new: finish what DELETE /predictions/ID began in the service.",
)
def erase(
    ids: tuple[str, ...], hashes: tuple[str, ...], files: tuple[BinaryIO, ...], sweep_only: bool
) -> None:
    """Erase predictions with their labels, and remove what quotes them; says what cannot be rewritten.

    Exit 0: erased; 2: nothing was found, or it could not run.
    """
    with exit_on_failure("the erasing"):
        if not (ids or hashes or files or sweep_only):
            raise MonitoringError("say what to erase: --id ID, --text-hash HASH or --text FILE")
        if wrong := [value for value in hashes if not _HASH.fullmatch(value)]:
            raise MonitoringError(f"{wrong[0][:80]!r} is no hash: it has 64 hexadecimal digits")
        from monitoring.artifact_sweep import sweep  # brings MLflow, for which `--help` need not wait

        settings, tracking = PredictionSettings(), TrackingSettings()
        # A text that was piped ends in a line break that was not sent; both forms are looked for.
        given = [file.read().decode() for file in files]
        texts = [
            form
            for text in given
            for form in dict.fromkeys((text, text.removesuffix("\n"), text.removesuffix("\r\n")))
        ]
        store = PredictionStore.open(settings)
        try:
            found = _erased(store, settings, ids, hashes, texts)
            swept = sweep(store, tracking)
        finally:
            store.close()
    for line in erase_summary_lines(found, swept):
        click.echo(line)
    spooled = sorted(settings.folder("spool").glob(_SPOOL))
    if spooled:
        click.echo(
            f"{len(spooled)} files of the spool wait for the store; what was erased is left out when they are replayed"
        )
    if found.unknown:
        click.echo(f"unknown: {', '.join(id_[:64] for id_ in found.unknown)}", err=True)
    if not found.ids and not sweep_only:
        click.echo("nothing was found to erase", err=True)
        click.get_current_context().exit(2)


def _erased(
    store: PredictionStore,
    settings: PredictionSettings,
    ids: tuple[str, ...],
    hashes: tuple[str, ...],
    texts: list[str],
) -> Erased:
    keys = [settings.hash_key] if settings.hash_key else []
    by_id = erase_predictions(store, [id_.lower() for id_ in ids]) if ids else Erased([], [])
    if not (hashes or texts):
        return by_id
    by_text = erase_texts(store, texts=texts, hashes=hashes, keys=keys)
    return Erased([*by_id.ids, *by_text.ids], by_id.unknown, by_text.unreadable)


def erase_summary_lines(found: Erased, swept: SweepResult) -> list[str]:
    """What was done and what is left, a line each; no text."""
    lines = [f"erased: {len(found.ids)} predictions, with their labels"]
    if found.unreadable:
        lines.append(
            f"{found.unreadable} predictions keep neither text nor hash, so no text finds them: erase them by --id"
        )
    lines += [f"removed: {item}" for item in swept.removed]
    lines += [f"remains: {item}" for item in swept.remaining]
    return lines
