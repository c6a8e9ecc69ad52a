"""The command `accept`: live windows join the reference on a person's word, are listed, and are taken back."""

from __future__ import annotations

import getpass
import time

import click

from monitoring.accepted import accept_window
from monitoring.champion import MonitoredModel, find_champion, monitored_name, without_erased
from monitoring.commands.failures import exit_on_failure
from monitoring.errors import NotAcceptable
from monitoring.settings import MonitoringSettings
from monitoring.times import iso, span
from stores.predictions import PredictionStore
from stores.predictions.accepted import AcceptedWindow, AcceptedWindows
from stores.predictions.checks import CheckLog
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings


@click.command()
@click.option("--window", metavar="DURATION", help="How far back: 15m, 24h, 7d.")
@click.option("--since", metavar="TIME", help="First moment of the window: ISO 8601, or seconds since 1970.")
@click.option("--until", metavar="TIME", help="End of the window. Default: now.")
@click.option(
    "--weekly",
    is_flag=True,
    help="Accept it as usual at this time of the week only, such as a weekend, before two weeks have shown it.",
)
@click.option("--by", metavar="NAME", help="Who accepts or revokes. Default: the user of this process.")
@click.option(
    "--list", "listed", is_flag=True, help="List all accepted windows of the model, revoked ones too."
)
@click.option("--revoke", type=int, metavar="ID", help="Take an acceptance back, by its id in the list.")
def accept(
    window: str | None,
    since: str | None,
    until: str | None,
    weekly: bool,
    by: str | None,
    listed: bool,
    revoke: int | None,
) -> None:
    """Accept a window of live texts as part of the reference of the served version.

    Later checks compare with them, too. Without --window, --since and --until it is the window of the last check. Look
    at its report first: drift that is accepted is not found any more.
    """
    if sum([listed, revoke is not None, bool(window or since or until or weekly)]) > 1:
        raise click.UsageError("--list, --revoke and a window exclude one another.")
    with exit_on_failure("the acceptance"):
        settings, tracking = MonitoringSettings(), TrackingSettings()
        store = PredictionStore.open(PredictionSettings())
        try:
            if listed:
                lines = [
                    _described(item) for item in AcceptedWindows(store).of_model(monitored_name(tracking))
                ]
                lines = lines or ["no window is accepted"]
            elif revoke is not None:
                lines = [_revoked(store, revoke, monitored_name(tracking), by or _user())]
            else:
                champion = find_champion(ModelRegistry(tracking), tracking, SigningSettings())
                champion = without_erased(champion, store)
                now = time.time()
                first, last = (
                    span(window or settings.monitoring_window, since, until, now=now)
                    if window or since or until
                    else _last_checked(store, champion)
                )
                accepted = accept_window(
                    store, champion, first, last, settings, by=by or _user(), weekly=weekly, now=now
                )
                lines = [_told(accepted, champion)]
        finally:
            store.close()
    for line in lines:
        click.echo(line)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        raise NotAcceptable("the user of this process has no name: give --by NAME") from None


def _last_checked(store: PredictionStore, champion: MonitoredModel) -> tuple[float, float]:
    """The window of the champion's last check.

    Raises:
        NotAcceptable: there is none, or it is of another version.
    """
    checks = CheckLog(store).last(1, champion.model.name)
    if not checks:
        raise NotAcceptable(f"{champion.model.name} was never checked: give --since and --until")
    check = checks[0]
    if check.model_version != champion.model.version:
        raise NotAcceptable(
            f"the last check is of version {check.model_version}, and {champion.title} is served now: check that first"
        )
    return check.since, check.until


def _told(accepted: AcceptedWindow, champion: MonitoredModel) -> str:
    what = (
        "usual at this time of the week"
        if accepted.weekly
        else f"part of the reference, of which at most {len(champion.reference)} texts are accepted ones"
    )
    return (
        f"{iso(accepted.since)} to {iso(accepted.until)} is accepted for {champion.title}: its {accepted.texts} texts "
        f"are {what}. `python -m monitoring accept --revoke {accepted.id}` takes that back."
    )


def _revoked(store: PredictionStore, id_: int, name: str, by: str) -> str:
    if not AcceptedWindows(store).revoke(id_, name, by=by, at=time.time()):
        raise NotAcceptable(f"{name} has no accepted window {id_} that is in force: see --list")
    return f"window {id_} is no part of the reference any more"


def _described(window: AcceptedWindow) -> str:
    """One line of the list."""
    end = "" if window.revoked_at is None else f", revoked by {window.revoked_by} {iso(window.revoked_at)}"
    return (
        f"{window.id}: {window.model_name} version {window.model_version}, {iso(window.since)} to {iso(window.until)}, "
        f"{window.texts} texts{', weekly' if window.weekly else ''}, accepted by {window.accepted_by} "
        f"{iso(window.accepted_at)}{end}"
    )
