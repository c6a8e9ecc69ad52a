"""Telling people, through Apprise: mail, Slack, webhooks and a hundred more, each by its address.

A channel hears of a *change*: a breach began, it has a reason it had not, it is over. While it lasts the channel is
reminded. What each channel was told stands in the prediction store, so that several monitoring processes speak once;
a channel that fails is tried again at the next check, and the others are not told twice for it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from pathlib import Path
from typing import Literal

from monitoring.advice import what_to_do
from monitoring.judgement import breached, slow_only
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Verdict
from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore
from stores.predictions.checks import CheckLog, Told
from stores.settings import PredictionSettings

logger = logging.getLogger("monitoring")

Occasion = Literal["began", "another reason", "reminder", "over"]
_LEASE = 120.0
"""Seconds after which another process may send what this one began to."""
_TITLES: dict[Occasion, str] = {
    "began": "breach",
    "another reason": "breach, for another reason",
    "reminder": "still in breach",
    "over": "well again",
}


def occasion_of(
    told: Told, status: str, reasons: tuple[str, ...], *, now: float, reminder: float
) -> Occasion | None:
    """Why a channel that was `told` should hear of this check; None: it knows.

    Too little data changes nothing, and a reason that falls away while others stay is no news.
    """
    if status == "insufficient_data":
        return None
    if status == "ok":
        return "over" if told.status == "breach" else None
    if told.status != "breach":
        return "began"
    if not set(reasons) <= set(told.reasons):
        return "another reason"
    return "reminder" if now - told.at >= reminder else None


def reasons_of(verdict: Verdict) -> tuple[str, ...]:
    """Names of the signals in breach, and `accuracy`."""
    names = [signal.name for signal in breached(verdict.drift)]
    return tuple(sorted([*names, *(["accuracy"] if verdict.accuracy.status == "breach" else [])]))


def tell_everybody(verdict: Verdict, report: Path, settings: MonitoringSettings) -> dict[str, Occasion]:
    """`tell`, with the prediction store that the settings name; a store that cannot be opened is logged."""
    if not settings.channels:
        return {}
    try:
        store = PredictionStore.open(PredictionSettings().url)
    except PredictionStoreError as error:
        logger.error("alerts_not_sent", extra={"fields": {"reason": str(error)}})
        return {}
    try:
        return tell(verdict, report, settings, CheckLog(store))
    finally:
        store.close()


def tell(verdict: Verdict, report: Path, settings: MonitoringSettings, log: CheckLog) -> dict[str, Occasion]:
    """Tell every channel of ALERT_URLS what it does not know yet; the channels that took a message, and why.

    Nothing that a channel or the store does here ends the check: it is logged, and tried again next time.
    """
    sent: dict[str, Occasion] = {}
    for url in settings.channels:
        try:
            occasion = _tell_one(url, verdict, report, settings, log)
        except PredictionStoreError as error:
            logger.error("alert_not_noted", extra={"fields": {"channel": name_of(url), "reason": str(error)}})
            continue
        if occasion is not None:
            sent[name_of(url)] = occasion
    return sent


def name_of(url: str) -> str:
    """A name for a channel that gives no password away: its scheme and a hash."""
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=://)", url)
    return f"{scheme[0][:20] if scheme else 'channel'}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"


def message_of(
    verdict: Verdict, occasion: Occasion, report: Path, settings: MonitoringSettings
) -> tuple[str, str]:
    """Title and body; no text of the traffic stands in them."""
    model = f"{verdict.model.name} version {verdict.model.version}"
    lines = [verdict.summary, ""]
    lines += [f"- {reason}" for reason in verdict.reasons]
    lines += ["", f"Window: {verdict.window.since} to {verdict.window.until}."]
    where = (
        f"{settings.alert_reports_url.rstrip('/')}/{report.parent.name}/{report.name}"
        if settings.alert_reports_url
        else str(report.absolute())
    )
    lines.append(f"Report: {where}")
    if occasion != "over":
        lines += ["", "What to do:", *(f"{number}. {step}" for number, step in enumerate(_steps(verdict), 1))]
    return f"{model}: {_TITLES[occasion]}", "\n".join(lines)


def _steps(verdict: Verdict) -> list[str]:
    first = (
        "Open the report: it shows what moved, and since when."
        if slow_only(verdict.drift, verdict.accuracy)
        else "Open the report: it shows which property of the traffic moved, and which classes it touches."
    )
    return [first, *what_to_do(verdict)]


def _tell_one(
    url: str, verdict: Verdict, report: Path, settings: MonitoringSettings, log: CheckLog
) -> Occasion | None:
    name, model, reasons, now = name_of(url), verdict.model.name, reasons_of(verdict), time.time()
    told = log.claim_channel(model, name, now=now, lease=_LEASE)
    if told is None:
        return None
    known, took = told, False
    occasion = occasion_of(
        told, verdict.status, reasons, now=now, reminder=3600 * settings.alert_reminder_hours
    )
    try:
        if occasion is not None:
            took = _send(url, *message_of(verdict, occasion, report, settings))
            if took:
                every = set(reasons) | (set(told.reasons) if occasion == "another reason" else set())
                known = Told(verdict.status, tuple(sorted(every)), now)
    finally:
        log.release_channel(model, name, status=known.status, reasons=known.reasons, at=known.at)
    if occasion is not None:
        logger.log(
            logging.INFO if took else logging.ERROR,
            "alert_sent" if took else "alert_failed",
            extra={"fields": {"channel": name, "occasion": occasion}},
        )
    return occasion if took else None


def _send(url: str, title: str, body: str) -> bool:
    """Whether the channel took it. Apprise's own log lines name addresses, so they go nowhere."""
    import apprise  # slow to load, and only those who are told something need it

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    try:
        sender = apprise.Apprise()
        return bool(sender.add(url)) and bool(
            sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        )
    except Exception as error:  # a plug-in of another's making must not end the check
        logger.error("alert_channel_raised", extra={"fields": {"reason": type(error).__name__}})
        return False
