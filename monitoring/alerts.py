"""Alerts: a line in `alerts.jsonl`, and messages through Apprise (mail, Slack, webhooks and others) by address.

A channel is notified of *changes*: a breach began, has a new reason, or is over; and reminded while it lasts. The last
message of each channel is in the prediction store, so that several monitoring processes send it once. A channel that
fails is tried again at the next check, without repeating the message to the others.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from pathlib import Path
from typing import Literal

from monitoring.judgement import breached_signals, latency_only
from monitoring.report.advice import advice_for
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Verdict
from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore
from stores.predictions.checks import ChannelState, CheckLog
from stores.settings import PredictionSettings

logger = logging.getLogger("monitoring")

Occasion = Literal["began", "another reason", "reminder", "over"]
_LEASE = 120.0
"""Seconds after which another process may send what this one began to."""
_TITLES: dict[Occasion, str] = {
    "began": "breach",
    "another reason": "breach, for another reason",
    "reminder": "still in breach",
    "over": "resolved",
}


def alert_occasion(
    state: ChannelState, status: str, reasons: tuple[str, ...], *, now: float, reminder: float
) -> Occasion | None:
    """Why this check is reported to a channel in the state `state`; None: nothing changed.

    Too little data is no change, and neither is a reason that disappears while others remain.
    """
    if status == "insufficient_data":
        return None
    if status == "ok":
        return "over" if state.status == "breach" else None
    if state.status != "breach":
        return "began"
    if not set(reasons) <= set(state.reasons):
        return "another reason"
    return "reminder" if now - state.at >= reminder else None


def breach_reasons(verdict: Verdict) -> tuple[str, ...]:
    """Names of the signals that are an alarm, and `accuracy`; of verdicts that know no alarm, the ones in breach."""
    if verdict.alarm is not None:
        return tuple(sorted(verdict.alarm.reasons))
    names = [signal.name for signal in breached_signals(verdict.drift)]
    return tuple(sorted([*names, *(["accuracy"] if verdict.accuracy.status == "breach" else [])]))


def alert_all_channels(verdict: Verdict, report: Path, settings: MonitoringSettings) -> dict[str, Occasion]:
    """`send_alerts` with the configured prediction store; a store that cannot be opened is logged."""
    if not settings.channels:
        return {}
    try:
        store = PredictionStore.open(PredictionSettings())
    except PredictionStoreError as error:
        logger.error("alerts_not_sent", extra={"fields": {"reason": str(error)}})
        return {}
    try:
        return tell(verdict, report, settings, CheckLog(store))
    finally:
        store.close()


def tell(verdict: Verdict, report: Path, settings: MonitoringSettings, log: CheckLog) -> dict[str, Occasion]:
    """Notify every channel of ALERT_URLS of changes; the channels that accepted a message, and its occasion.

    A failure of a channel or of the store does not end the check: it is logged, and tried again at the next check.
    """
    sent: dict[str, Occasion] = {}
    for url in settings.channels:
        try:
            occasion = _notify(url, verdict, report, settings, log)
        except PredictionStoreError as error:
            logger.error(
                "alert_not_noted", extra={"fields": {"channel": channel_name(url), "reason": str(error)}}
            )
            continue
        if occasion is not None:
            sent[channel_name(url)] = occasion
    return sent


def channel_name(url: str) -> str:
    """A name for a channel that gives no password away: its scheme and a hash."""
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=://)", url)
    return f"{scheme[0][:20] if scheme else 'channel'}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"


def alert_message(
    verdict: Verdict, occasion: Occasion, report: Path, settings: MonitoringSettings
) -> tuple[str, str]:
    """Title and body; they contain no text of the traffic."""
    model = f"{verdict.model.name} version {verdict.model.version}"
    lines = [verdict.summary, ""]
    if occasion != "over":
        lines += ["What to do:", *(f"{number}. {step}" for number, step in enumerate(_steps(verdict), 1)), ""]
    lines += [f"- {reason}" for reason in verdict.reasons]
    lines += ["", f"Window: {verdict.window.since} to {verdict.window.until}."]
    where = (
        f"{settings.alert_reports_url.rstrip('/')}/{report.parent.name}/{report.name}"
        if settings.alert_reports_url
        else str(report.absolute())
    )
    lines.append(f"Report: {where}")
    return f"{model}: {_TITLES[occasion]}", "\n".join(lines)


def _steps(verdict: Verdict) -> list[str]:
    first = (
        "Open the report: it shows what moved, and since when."
        if latency_only(verdict.drift, verdict.accuracy)
        else "Open the report: it shows which property of the traffic moved, and which classes it touches."
    )
    return [first, *advice_for(verdict)]


def _notify(
    url: str, verdict: Verdict, report: Path, settings: MonitoringSettings, log: CheckLog
) -> Occasion | None:
    name, model, reasons, now = channel_name(url), verdict.model.name, breach_reasons(verdict), time.time()
    state = log.claim_channel(model, name, now=now, lease=_LEASE)
    if state is None:
        return None
    known, took = state, False
    status = "breach" if verdict.alarms else "ok" if verdict.status == "breach" else verdict.status
    occasion = alert_occasion(state, status, reasons, now=now, reminder=3600 * settings.alert_reminder_hours)
    try:
        if occasion is not None:
            took = _send(url, *alert_message(verdict, occasion, report, settings))
            if took:
                every = set(reasons) | (set(state.reasons) if occasion == "another reason" else set())
                known = ChannelState(status, tuple(sorted(every)), now)
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
    """Whether the channel accepted it. Apprise's own log lines name addresses, so they go nowhere."""
    import apprise  # slow to load, and and needed only where ALERT_URLS is set

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    try:
        sender = apprise.Apprise()
        return bool(sender.add(url)) and bool(
            sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        )
    except Exception as error:  # an exception of a third-party plug-in must not end the check
        logger.error("alert_channel_raised", extra={"fields": {"reason": type(error).__name__}})
        return False


ALERTS_FILE = "alerts.jsonl"


def append_to_alert_log(verdict: Verdict, report: Path, settings: MonitoringSettings) -> Path:
    """Append the breach to `var/monitoring/alerts.jsonl`, one JSON object a line, and log it; returns the file."""
    line = {
        "at": verdict.checked_at,
        "model": f"{verdict.model.name}/{verdict.model.version}",
        "summary": verdict.summary,
        "reasons": verdict.reasons,
        "report": str(report),
    }
    path = settings.folder("monitoring") / ALERTS_FILE
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    logger.warning("threshold_breached", extra={"fields": line})
    return path
