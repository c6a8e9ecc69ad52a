"""Scoring on Ray gives the file that scoring in one process gives, whatever dies on the way."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.batch_scoring.checkpoint import Progress
from service.batch_scoring.errors import EngineUnavailable, ModelMissing, WorkersLost
from service.batch_scoring.job import Job, run_job
from service.batch_scoring.model import ScoringModel, load_model
from service.batch_scoring.ray import ray_engine
from service.batch_scoring.tables import ReadOptions, Table
from stores.settings import SigningSettings, TrackingSettings
from tests import golden_messages as messages
from tests.service.batch_scoring.conftest import BatchCommand
from tests.service.batch_scoring.test_resume import parts_done, write_input
from tests.support.clusters import ray_cluster_of_two, ray_cluster_of_two_nodes
from tests.support.loopback import Quiet, loopback
from tests.support.servers import free_port

READING = ReadOptions(chunk_rows=100)
CHUNKS = 30
"""Of `write_input`'s rows."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a cluster with two processors."""
    with ray_cluster_of_two() as address:
        yield address


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, model: ScoringModel) -> Path:
    """A folder with in.EXTENSION and what this process makes of it, unbroken.EXTENSION."""
    folder = tmp_path_factory.mktemp("scored")
    for extension in ("csv", "jsonl.gz", "parquet"):
        write_input(folder / f"in.{extension}")
        run_job(
            Job(folder / f"in.{extension}", folder / f"unbroken.{extension}", READING, scores=True), model
        )
    return folder


def job_in(folder: Path, extension: str, scored: Path) -> Job:
    return Job(scored / f"in.{extension}", folder / f"out.{extension}", READING, scores=True)


def workers_now() -> list[psutil.Process]:
    """Every worker of this test's cluster or command."""
    return [each for each in psutil.process_iter(["name"]) if "RayWorker" in " ".join(_line(each))]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


class KillsAWorker:
    """Kills one worker once this number of parts is done."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.killed: psutil.Process | None = None

    def __call__(self, done: Progress, _table: Table) -> None:
        if done.parts == self.at and self.killed is None:
            self.killed = workers_now()[0]
            self.killed.kill()


@pytest.mark.slow
def test_a_killed_worker_does_not_change_the_output(
    cluster: str, scored: Path, model: ScoringModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job, killer = job_in(tmp_path, "csv", scored), KillsAWorker(at=3)

    done = run_job(job, model, killer, ray_engine(cluster, workers=2))

    assert killer.killed is not None
    assert not killer.killed.is_running()
    assert done.parts == CHUNKS
    assert job.target.read_bytes() == (scored / "unbroken.csv").read_bytes()
    assert psutil.wait_procs(workers_now(), timeout=20)[1] == [], "workers outlive the job"
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_repeated_worker_deaths_fail_a_job_that_can_be_resumed(
    cluster: str, scored: Path, model: ScoringModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, killer = job_in(tmp_path, "parquet", scored), KillsAWorker(at=5)
    monkeypatch.setattr("service.batch_scoring.ray._TRIES_AGAIN", 0)

    with pytest.raises(WorkersLost, match=messages.RAY_WORKERS_LOST):
        run_job(job, model, killer, ray_engine(cluster, workers=1))
    kept = parts_done(job.target)
    resumed: list[int] = []
    run_job(job, model, lambda done, _table: resumed.append(done.parts))

    assert kept >= 5
    assert resumed[0] == kept
    assert job.target.read_bytes() == (scored / "unbroken.parquet").read_bytes()


@pytest.mark.slow
def test_a_bundle_that_changes_on_its_way_is_refused(
    cluster: str, batch_bundle: Path, scored: Path, tmp_path: Path
) -> None:
    shutil.copytree(batch_bundle, tmp_path / "bundle")
    model = load_model(TrackingSettings(model_uri=str(tmp_path / "bundle")), SigningSettings())
    (tmp_path / "bundle" / "pipeline.skops").write_bytes(b"another model")

    with pytest.raises(ModelMissing, match=messages.RAY_MODEL_REFUSED):
        run_job(job_in(tmp_path, "csv", scored), model, engine=ray_engine(cluster, workers=1))


@pytest.mark.slow
def test_more_workers_than_processors_are_refused(
    cluster: str, scored: Path, model: ScoringModel, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailable, match=messages.RAY_TOO_FEW_PROCESSORS):
        run_job(job_in(tmp_path, "csv", scored), model, engine=ray_engine(cluster, workers=3))


@pytest.mark.slow
def test_a_local_ray_ends_with_the_command_and_keeps_results(
    batch: BatchCommand, scored: Path, model: ScoringModel, tmp_path: Path
) -> None:
    job = job_in(tmp_path, "jsonl.gz", scored)
    options = (job.source, job.target, "--scores", "--chunk-rows", READING.chunk_rows, "--engine", "ray")
    run = batch.start(*options, "--workers", 1)
    while parts_done(job.target) < 2 and run.poll() is None:
        time.sleep(0.01)
    family = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate()

    assert run.returncode == 130, said
    assert messages.BATCH_STOPPED in said
    assert len(family) > 3, "Ray's own processes and a worker"
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert parts_done(job.target) >= 2

    assert "ray" not in said.lower(), "Ray keeps quiet"

    run_job(job, model)

    assert job.target.read_bytes() == (scored / "unbroken.jsonl.gz").read_bytes()


@pytest.mark.slow
def test_the_chunks_of_a_lost_machine_go_to_the_others(
    batch: BatchCommand, scored: Path, tmp_path: Path
) -> None:
    job = job_in(tmp_path, "csv", scored)
    with ray_cluster_of_two_nodes() as (address, lose_a_node):
        command = batch.start(
            job.source, job.target, "--chunk-rows", "100", "--scores",
            "--engine", "ray", "--ray-address", address, "--workers", "2",
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while parts_done(job.target) < 3 and command.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            lose_a_node()
            kept = parts_done(job.target)
            _, said = command.communicate(timeout=180)
        finally:
            command.kill()
            command.wait()

    assert 3 <= kept < CHUNKS
    assert command.returncode == 0, said
    assert job.target.read_bytes() == (scored / "unbroken.csv").read_bytes()


def test_a_cluster_that_does_not_answer_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stores.cluster._ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(EngineUnavailable, match=messages.RAY_NOT_ANSWERING):
            ray_engine(address)
    with loopback(Quiet) as url, pytest.raises(EngineUnavailable, match=messages.RAY_NOT_ANSWERING):
        ray_engine(url.removeprefix("http://"))


@pytest.mark.slow
def test_another_number_of_workers_continues_the_job(
    cluster: str, scored: Path, model: ScoringModel, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(done: Progress, _table: Table) -> None:
        if done.parts == 4:
            raise Stopped

    job, resumed = job_in(tmp_path, "csv", scored), list[int]()
    with pytest.raises(Stopped):
        run_job(job, model, stop, ray_engine(cluster, workers=2))
    run_job(job, model, lambda done, _table: resumed.append(done.parts), ray_engine(cluster, workers=1))

    assert resumed[0] == 4
    assert job.target.read_bytes() == (scored / "unbroken.csv").read_bytes()


def test_without_ray_the_extra_is_named(batch: BatchCommand, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nShares fell\n", encoding="utf-8")
    code = "import sys; sys.modules['ray'] = None; from service.batch import main; main()"

    run = subprocess.run(
        [sys.executable, "-c", code, "in.csv", "out.csv", "--engine", "ray"],
        env=batch.environment(),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "Error: Ray is not installed: install the extra, pip install 'champion[cluster]'"
    )


def test_what_cannot_be_done_is_refused_in_words(batch: BatchCommand, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nShares fell\n", encoding="utf-8")
    nobody = f"127.0.0.1:{free_port()}"

    away = batch.run("in.csv", "out.csv", "--engine", "ray", RAY_ADDRESS=nobody)
    local = batch.call("in.csv", "out.csv", "--workers", 2)

    assert away.returncode == 1
    assert f"no Ray listens at {nobody}" in away.stderr
    assert local.exit_code == 2
    assert messages.RAY_OPTIONS_WITHOUT_RAY in local.stderr
    assert "Traceback" not in away.stderr + local.stderr
