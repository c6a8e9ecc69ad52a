"""Several threads and processes on one prediction store, and a writer that is killed."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import text

from stores.predictions import PredictionStore
from tests.support.predictions import prediction

ROOT = Path(__file__).parents[2]
ALWAYS = (0.0, 1e12)
_CLOSE_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid != pg_backend_pid()
"""

WRITER = """
import sys
from stores.predictions import PredictionStore
from tests.support.predictions import prediction

store = PredictionStore.open(sys.argv[1])
print("open", flush=True)
if sys.argv[2] == "forever":
    while True:
        rows = [prediction() for _ in range(5)]
        store.add(rows)
        print(" ".join(row.id for row in rows), flush=True)
for _ in range(int(sys.argv[2])):
    rows = [prediction() for _ in range(5)]
    store.add(rows)
    store.add_feedback({rows[0].id: "tech"})
"""


def writer(url: str, batches: str) -> subprocess.Popen[str]:
    """A process that opens the store and writes."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, batches],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_open_a_new_database_at_once(url: str) -> None:
    writers = [writer(url, "20") for _ in range(4)]
    errors = [process.communicate(timeout=120)[1] for process in writers]
    assert [process.returncode for process in writers] == [0] * 4, errors
    store = PredictionStore.open(url)
    rows = store.window(*ALWAYS)
    assert len(rows) == 4 * 20 * 5
    assert sum(row.true_label == "tech" for row in rows) == 4 * 20
    store.close()


def test_threads_write_and_read_at_once(store: PredictionStore) -> None:
    def work(_: int) -> int:
        for _ in range(10):
            store.add([prediction() for _ in range(3)])
            store.window(*ALWAYS, limit=5)
        return 30

    with ThreadPoolExecutor(8) as pool:
        written = sum(pool.map(work, range(8)))
    assert store.count(*ALWAYS) == written == 240


def test_the_same_label_from_many_at_once_is_noted_once(store: PredictionStore) -> None:
    rows = [prediction() for _ in range(20)]
    store.add(rows)
    forward = {row.id: "tech" for row in rows}
    backward = dict(reversed(forward.items()))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(store.add_feedback, [forward, backward] * 8))
    assert all(result.accepted == 20 for result in results)
    assert all(len(store.feedback_history(row.id)) == 1 for row in rows)


def test_a_killed_writer_loses_nothing_it_committed(url: str) -> None:
    process = writer(url, "forever")
    assert process.stdout is not None
    assert process.stderr is not None
    said = [process.stdout.readline() for _ in range(40)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait(timeout=30)
    process.stdout.close()
    process.stderr.close()
    # The line that was being written when it died may be cut; every whole one is of a committed batch.
    committed = {id_ for line in said[1:] if line.endswith("\n") for id_ in line.split()}
    assert len(committed) >= 39 * 5
    store = PredictionStore.open(url)
    kept = {row.id for row in store.window(*ALWAYS)}
    assert committed <= kept
    assert len(kept) % 5 == 0, "a batch is in the store whole or not at all"
    store.add([prediction()])
    store.close()


def test_a_connection_that_the_server_closed_is_opened_again(postgres: str) -> None:
    store = PredictionStore.open(postgres)
    first, second = prediction(), prediction()
    store.add([first])
    with store.writing() as connection:
        assert any(row[0] for row in connection.execute(text(_CLOSE_OTHERS)))
    store.add([second])
    assert {first.id, second.id} <= {row.id for row in store.window(*ALWAYS)}
    store.close()
