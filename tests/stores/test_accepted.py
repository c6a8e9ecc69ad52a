"""Accepted windows are kept with who and when, by version, and can be taken back once."""

from __future__ import annotations

from dataclasses import replace

from stores.predictions import PredictionStore
from stores.predictions.accepted import AcceptedWindow, AcceptedWindows

ONE = AcceptedWindow("news", "7", 100.0, 200.0, False, 40, "ana", accepted_at=250.0)


def test_windows_in_force_are_those_of_the_version(store: PredictionStore) -> None:
    windows = AcceptedWindows(store)
    first = windows.add(ONE)
    weekly = windows.add(replace(ONE, since=300.0, until=400.0, weekly=True))
    windows.add(replace(ONE, model_version="6"))
    windows.add(replace(ONE, model_name="mails"))
    assert windows.in_force("news", "7") == [
        replace(ONE, id=first),
        replace(ONE, since=300.0, until=400.0, weekly=True, id=weekly),
    ]
    assert [window.model_version for window in windows.of_model("news")] == ["7", "7", "6"]


def test_a_revoked_window_stays_in_the_list(store: PredictionStore) -> None:
    windows = AcceptedWindows(store)
    id_ = windows.add(ONE)
    assert not windows.revoke(id_, "mails", by="ben", at=300.0), "another model's"
    assert windows.revoke(id_, "news", by="ben", at=300.0)
    assert not windows.revoke(id_, "news", by="cem", at=400.0), "already revoked"
    assert windows.in_force("news", "7") == []
    assert windows.of_model("news") == [replace(ONE, id=id_, revoked_at=300.0, revoked_by="ben")]


def test_a_name_is_kept_as_every_database_can(store: PredictionStore) -> None:
    id_ = AcceptedWindows(store).add(replace(ONE, accepted_by="a\0" + "b" * 100))
    (kept,) = AcceptedWindows(store).of_model("news")
    assert (kept.id, kept.accepted_by) == (id_, "a\ufffd" + "b" * 62)
