"""Alerts: what a channel hears, once, from a real receiver over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitoring.alerts import alert_occasion, channel_name, tell
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Accuracy, Drift, Signal, Verdict, WatchedModel, WindowFacts
from stores.predictions import PredictionStore
from stores.predictions.checks import NOTHING_SENT, ChannelState, CheckLog

HOUR = 3600.0


class Receiver:
    """A webhook; it answers with `status` and keeps what it took."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[dict[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.status == 200:
                    receiver.taken.append(body)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:secret@127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    both = Receiver(), Receiver()
    yield both
    for receiver in both:
        receiver.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CheckLog]:
    store = PredictionStore.open(f"sqlite:///{tmp_path / 'predictions.db'}")
    yield CheckLog(store)
    store.close()


def verdict(*moved: str, status: str | None = None) -> Verdict:
    """A verdict with these signals in breach."""
    signals = [
        Signal(
            name=name, title=name.title(), measure="AUC", status="breach" if name in moved else "ok", value=0.8,
            threshold=0.6, floor=0.55, p_value=0.0, p_adjusted=0.0, reference_texts=400, window_texts=90,
            words="moved",
        )
        for name in ("text_content", "confidence")
    ]  # fmt: skip
    found = status or ("breach" if moved else "ok")
    return Verdict.model_validate(
        {
            "checked_at": "2026-11-21T08:00:00+00:00",
            "status": found,
            "summary": f"In words: {', '.join(moved) or 'nothing'} moved.",
            "reasons": [f"{name} moved (size 0.80)." for name in moved],
            "notes": [],
            "model": WatchedModel(name="news", version="7", alias="champion"),
            "window": WindowFacts(
                since="2026-11-20T08:00:00+00:00", until="2026-11-21T08:00:00+00:00", predictions=90,
                other_versions=0, sampled=90, distinct_texts=90, repeated_texts=0, texts_of_reference=0,
            ),
            "drift": Drift(status=found, alpha=0.01, signals=signals),
            "accuracy": Accuracy(
                status="insufficient_data", labelled=0, coverage=0, mean_lag_seconds=None, confidence_level=0.99,
                accuracy=None, macro_f1=None, reference_accuracy=0.95, fall=None, expected_accuracy=0.8, classes=[],
                words="No labels.",
            ),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "status", "reasons", "expected"),
    [
        (NOTHING_SENT, "ok", (), None),
        (NOTHING_SENT, "breach", ("a",), "began"),
        (NOTHING_SENT, "insufficient_data", (), None),
        (ChannelState("breach", ("a", "b"), 0), "breach", ("a", "b"), None),
        (ChannelState("breach", ("a", "b"), 0), "breach", ("b",), None),
        (ChannelState("breach", ("a",), 0), "breach", ("a", "b"), "another reason"),
        (ChannelState("breach", ("a",), 0), "insufficient_data", (), None),
        (ChannelState("breach", ("a",), 0), "ok", (), "over"),
        (ChannelState("breach", ("a",), -HOUR), "breach", ("a",), "reminder"),
    ],
)
def test_a_channel_hears_of_changes_only(
    told: ChannelState, status: str, reasons: tuple[str, ...], expected: str | None
) -> None:
    assert alert_occasion(told, status, reasons, now=HOUR, reminder=2 * HOUR) == expected


def test_a_breach_is_reported_once_and_when_it_is_over(
    receivers: tuple[Receiver, Receiver], log: CheckLog, tmp_path: Path
) -> None:
    first, second = receivers
    report = tmp_path / "20261121T080000Z" / "report.html"
    settings = MonitoringSettings(
        alert_urls=f"{first.url} {second.url}", alert_reports_url="https://reports.example/"
    )
    told = []
    for found in (
        verdict(),
        verdict("confidence"),
        verdict("confidence"),
        verdict("text_content", "confidence"),
    ):
        told.append(sorted(tell(found, report, settings, log).values()))
    assert told == [[], ["began"] * 2, [], ["another reason"] * 2]
    assert tell(verdict(status="insufficient_data"), report, settings, log) == {}
    assert set(tell(verdict(), report, settings, log).values()) == {"over"}
    for receiver in receivers:
        assert [message["title"] for message in receiver.taken] == [
            "news version 7: breach", "news version 7: breach, for another reason", "news version 7: resolved",
        ]  # fmt: skip
    body = first.taken[0]["message"]
    assert "In words: confidence moved." in body
    assert "- confidence moved (size 0.80)." in body
    assert "https://reports.example/20261121T080000Z/report.html" in body
    assert "send true labels" in body
    assert "What to do" not in first.taken[2]["message"]


def test_only_a_channel_that_failed_is_tried_again(
    receivers: tuple[Receiver, Receiver], log: CheckLog, tmp_path: Path
) -> None:
    first, second = receivers
    second.status = 500
    settings = MonitoringSettings(
        alert_urls=f"{first.url},{second.url}, nonsense://127.0.0.1", alert_reminder_hours=1e-9
    )
    report = tmp_path / "report.html"
    assert tell(verdict("confidence"), report, settings, log) == {channel_name(first.url): "began"}
    calm = settings.model_copy(update={"alert_reminder_hours": 24})
    assert tell(verdict("confidence"), report, calm, log) == {}
    second.status = 200
    assert tell(verdict("confidence"), report, calm, log) == {channel_name(second.url): "began"}
    assert len(first.taken) == len(second.taken) == 1
    assert set(tell(verdict("confidence"), report, settings, log).values()) == {"reminder"}
    assert first.taken[1]["title"] == "news version 7: still in breach"


def test_two_processes_speak_once_and_no_password_is_kept(
    receivers: tuple[Receiver, Receiver], log: CheckLog, tmp_path: Path
) -> None:
    first, _ = receivers
    settings = MonitoringSettings(alert_urls=first.url)
    threads = [
        threading.Thread(target=tell, args=(verdict("confidence"), tmp_path / "r.html", settings, log))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(first.taken) == 1
    assert "secret" not in channel_name(first.url)
    assert b"secret" not in (tmp_path / "predictions.db").read_bytes()
    assert "secret" not in repr(settings)
