"""The spool: what was answered is in the store exactly once, in order, whenever a process is killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stores.errors import SpoolFull, SpoolUnavailable
from stores.predictions import Prediction, PredictionStore
from stores.predictions.spool import Spool
from tests import golden_messages as messages
from tests.support.predictions import prediction

LARGE = 64 * 1024 * 1024

ONE_PROCESS = """
import os, signal, sys
from pathlib import Path
from stores.predictions import PredictionStore
from stores.predictions.spool import Spool
from tests.support.predictions import prediction

url, folder, step = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if step == "half_written":
    write, calls = os.pwrite, []
    def torn(descriptor, data, offset):
        calls.append(1)
        if len(calls) > 2:
            write(descriptor, data[: len(data) // 2], offset)
            die()
        return write(descriptor, data, offset)
    os.pwrite = torn
elif step == "before_fsync":
    sync, syncs = os.fsync, []
    def late(descriptor):
        syncs.append(1)
        die() if len(syncs) > 3 else sync(descriptor)
    os.fsync = late

spool = Spool(folder, max_bytes=2**26)
for number in range(4):
    rows = [prediction(f"{number}.{place}", id=f"{number:016d}{place:016d}") for place in range(3)]
    spool.append(rows)
    for row in rows:
        print(row.id, flush=True)
store = PredictionStore.open(url)
if step == "before_commit":
    store.add_missing = die
if step == "after_commit":
    spool.drop = die
if step == "before_unlink":
    Path.unlink = die
while rows := spool.head(2):
    store.add_missing(rows)
    spool.drop()
if step == "replayed":
    die()
"""


def replay(spool: Spool, store: PredictionStore, limit: int = 500) -> list[Prediction]:
    """Everything that was replayed."""
    found: list[Prediction] = []
    while rows := spool.head(limit):
        assert store.add_missing(rows) == []
        spool.drop()
        found += rows
    return found


@pytest.mark.parametrize(
    "step", ["half_written", "before_fsync", "before_commit", "after_commit", "before_unlink", "replayed"]
)
def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, step: str) -> None:
    url, folder = f"sqlite:///{tmp_path / 'predictions.db'}", tmp_path / "spool"
    command = [sys.executable, "-c", ONE_PROCESS, url, str(folder), step]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert done.returncode == -signal.SIGKILL, done.stderr
    acknowledged = done.stdout.split()
    assert acknowledged
    store, spool = PredictionStore.open(url), Spool(folder, max_bytes=LARGE)
    spool.adopt()
    replay(spool, store)
    rows = store.window(0, time.time() + 1)
    store.close()
    ids = sorted(row.id for row in rows)
    assert set(acknowledged) <= set(ids)
    assert len(ids) == len(set(ids))
    assert spool.state().rows == spool.state().bytes == spool.state().damaged == 0
    assert not list(folder.iterdir())


def test_rows_come_back_in_order_and_as_they_were(tmp_path: Path, store: PredictionStore) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=LARGE)
    rows = [
        prediction(
            f"text {number}\nwith a break, é, \u2028 and \ud800", key_name="ann", created_at=100.0 + number
        )
        for number in range(20)
    ]
    for start in range(0, 20, 4):
        spool.append(rows[start : start + 4])
    state = spool.state()
    assert (state.rows, state.oldest) == (20, 100.0)
    assert [row.id for row in replay(spool, store, 3)] == [row.id for row in rows]
    kept = store.get(rows[7].id)
    assert kept is not None
    assert (kept.text, kept.key_name, kept.created_at, kept.scores) == (
        "text 7\nwith a break, é, \u2028 and \ufffd",
        "ann",
        107.0,
        rows[7].scores,
    )
    assert (spool.state().rows, spool.state().bytes, spool.state().oldest) == (0, 0, None)


def test_what_is_offered_again_is_there_once(tmp_path: Path, store: PredictionStore) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=LARGE)
    rows = [prediction(str(number)) for number in range(5)]
    store.add(rows[:2])
    spool.append(rows)
    assert store.add_missing(spool.head(10)) == []
    assert spool.head(10) == rows, "they were not dropped"
    replay(spool, store)
    assert store.count(0, time.time() + 1) == 5


def test_a_full_spool_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=2000)
    spool.append([prediction("first")])
    with pytest.raises(SpoolFull):
        spool.append([prediction("x" * 5000)])
    assert [row.text for row in spool.head(10)] == ["first"]


def test_a_disk_that_refuses_leaves_no_part_of_an_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=LARGE)
    spool.append([prediction("first")])
    write = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        write(descriptor, data[:40], offset)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(SpoolUnavailable, match=messages.DISK_FULL):
            spool.append([prediction("second")])
    spool.append([prediction("third")])
    assert [row.text for row in spool.head(10)] == ["first", "third"]


def test_a_deleted_spool_file_is_noticed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=LARGE)
    spool.append([prediction("first")])
    for file in (tmp_path / "spool").iterdir():
        file.unlink()
    with pytest.raises(SpoolUnavailable):
        spool.append([prediction("second")])
    spool.append([prediction("third")])
    assert [row.text for row in spool.head(10)] == ["third"]


def test_files_of_a_living_process_are_left_alone(tmp_path: Path, store: PredictionStore) -> None:
    mine, other = (Spool(tmp_path / "spool", max_bytes=LARGE) for _ in range(2))
    mine.append([prediction("mine")])
    assert other.adopt() == 0
    mine.close()
    assert other.adopt() == 1
    assert [row.text for row in replay(other, store)] == ["mine"]


def test_a_damaged_record_costs_itself_only(tmp_path: Path, store: PredictionStore) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=LARGE)
    for text in ("first", "to be damaged", "third"):
        spool.append([prediction(text)])
    spool.close()
    (file,) = (tmp_path / "spool").iterdir()
    file.write_bytes(file.read_bytes().replace(b"to be damaged", b"to be DAMAGED"))
    again = Spool(tmp_path / "spool", max_bytes=LARGE)
    assert again.adopt() == 2
    assert [row.text for row in replay(again, store)] == ["first", "third"]
    assert again.state().damaged == 1
    assert [path.suffix for path in (tmp_path / "spool").iterdir()] == [".damaged"]


def test_rows_that_the_database_refuses_hold_up_no_other(tmp_path: Path, store: PredictionStore) -> None:
    long = prediction("too long", label="x" * 300)
    refused = store.add_missing([prediction("before"), long, prediction("after")])
    texts = {row.text for row in store.window(0, time.time() + 1)}
    if store.engine.dialect.name == "postgresql":
        assert refused == [long]
        assert texts == {"before", "after"}
    else:
        assert (refused, len(texts)) == ([], 3)
    Spool(tmp_path / "spool", max_bytes=LARGE).adopt()


def test_room_is_given_back_while_it_is_replayed(tmp_path: Path, store: PredictionStore) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=80_000)
    for number in range(40):
        spool.append([prediction(f"{number} " + "x" * 1000)])
    full = spool.state().bytes
    for _ in range(20):
        store.add_missing(spool.head(1))
        spool.drop()
    assert 0 < spool.state().bytes < full
    assert spool.state().rows == 20


def test_its_files_are_for_its_user_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=LARGE)
    spool.append([prediction()])
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").iterdir()] == [0o600]


def test_rows_in_another_process_spool_are_seen(tmp_path):
    one, other = (Spool(tmp_path / "spool", max_bytes=LARGE) for _ in range(2))
    assert not one.others_wait()
    other.append([prediction()])
    assert one.others_wait()
    assert not other.others_wait()
    other.head(10)
    other.drop()
    assert not one.others_wait()
    one.close()
    other.close()
