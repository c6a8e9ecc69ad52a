"""A killed run goes on where it was, and only where that is right."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.batch_scoring.checkpoint import PartsFolder, Progress
from service.batch_scoring.errors import OutputRefused, ResumeRefused
from service.batch_scoring.job import Job, run_job
from service.batch_scoring.model import ScoringModel, load_model
from service.batch_scoring.tables import ReadOptions, Table
from stores.settings import SigningSettings, TrackingSettings
from tests import golden_messages as messages
from tests.service.batch_scoring.conftest import BatchCommand
from tests.support.bundles import bbc_part, sealed_tfidf_bundle

ROWS = 3000
CHUNK = 30


def rows() -> list[tuple[str, str]]:
    articles = bbc_part(2)[0]
    # Line breaks and quotes inside, so that a row is not a line; every 50th has no text.
    return [
        (f"row-{i}", "" if i % 50 == 7 else f'{i} "quoted"\n' + articles[i % len(articles)][:200])
        for i in range(ROWS)
    ]


def write_input(path: Path) -> None:
    if path.suffix == ".parquet":
        ids, texts = zip(*rows(), strict=True)
        pq.write_table(pa.table({"id": ids, "text": texts}), path, row_group_size=1000)
    elif path.suffix == ".gz":
        lines = "".join(json.dumps({"id": id_, "text": text}) + "\n" for id_, text in rows())
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        quoted = "".join(f'{id_},"{text.replace(chr(34), chr(34) * 2)}"\n' for id_, text in rows())
        path.write_text("id,text\n" + quoted, encoding="utf-8")


def parts_done(output: Path) -> int:
    try:
        noted = json.loads((output.with_name(output.name + ".parts") / "progress.json").read_text())
    except FileNotFoundError:
        return 0
    return int(noted["parts"])


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["csv", "jsonl.gz", "parquet"])
def test_a_run_killed_twice_gives_the_same_file(
    extension: str, batch: BatchCommand, model: ScoringModel, tmp_path: Path
) -> None:
    chance = random.Random(extension)
    source, target, unbroken = (tmp_path / f"{name}.{extension}" for name in ("in", "out", "unbroken"))
    write_input(source)
    options = ("--chunk-rows", CHUNK, "--scores")
    run_job(Job(source, unbroken, ReadOptions(chunk_rows=CHUNK), scores=True), model)

    reached = 0
    for _ in range(2):
        run = batch.start(source, target, *options)
        wanted = reached + chance.randint(2, 8)
        while parts_done(target) < wanted and run.poll() is None:
            time.sleep(0.001)
        time.sleep(chance.random() / 50)  # anywhere in the writing of a part
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        assert run.returncode == -signal.SIGKILL, "the run ended before it could be killed"
        assert not target.exists()
        reached = parts_done(target)
    last = batch.run(source, target, *options)

    assert last.returncode == 0, last.stderr
    assert "Resuming after" in last.stderr
    assert target.read_bytes() == unbroken.read_bytes()
    assert not target.with_name(target.name + ".parts").exists()


class Killed(BaseException):
    """Stands for the end of the process, at a moment that the test chooses."""


def stopped_after(parts: int, job: Job, model: ScoringModel) -> None:
    def watch(done: Progress, _table: Table) -> None:
        if done.parts == parts:
            raise Killed

    with pytest.raises(Killed):
        run_job(job, model, watch)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "".join(f"Shares fell {i} times\n" for i in range(50)), encoding="utf-8")
    return Job(source, tmp_path / "out.csv", ReadOptions(chunk_rows=10))


def lines_of(job: Job) -> list[str]:
    return [line.split(",")[0] for line in job.target.read_text(encoding="utf-8").splitlines()]


WHOLE = ["text", *[f"Shares fell {i} times" for i in range(50)]]


def test_a_part_written_but_not_counted_is_written_again(job: Job, model: ScoringModel) -> None:
    stopped_after(2, job, model)
    parts = job.target.with_name("out.csv.parts")
    shutil.copy(parts / "part-000001.csv", parts / "part-000002.csv")
    (parts / "new-part-000003.csv").write_text("half a ro", encoding="utf-8")

    run_job(job, model)

    assert lines_of(job) == WHOLE


@pytest.mark.parametrize("moment", ["before the whole got its name", "before the parts were removed"])
def test_a_kill_in_the_last_steps_does_no_harm(
    moment: str, job: Job, model: ScoringModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if moment == "before the parts were removed":
            patched.setattr("service.batch_scoring.checkpoint.shutil.rmtree", killed)
        else:
            real = Path.replace
            patched.setattr(Path, "replace", lambda a, b: killed() if b == job.target else real(a, b))
        with pytest.raises(Killed):
            run_job(job, model)
    assert job.target.exists() == (moment == "before the parts were removed")

    assert run_job(job, model).rows == 50
    assert lines_of(job) == WHOLE
    assert not job.target.with_name("out.csv.parts").exists()


def test_a_changed_input_is_not_continued(job: Job, model: ScoringModel) -> None:
    stopped_after(2, job, model)
    text = job.source.read_text(encoding="utf-8")
    job.source.write_text(text.replace("Shares", "Stocks"), encoding="utf-8")

    with pytest.raises(ResumeRefused, match=messages.RESUME_OTHER_INPUT):
        run_job(job, model)
    restarted = run_job(Job(job.source, job.target, job.reading, restart=True), model)

    assert restarted.rows == 50
    assert lines_of(job)[1] == "Stocks fell 0 times"


def test_another_model_does_not_continue(job: Job, model: ScoringModel, tmp_path: Path) -> None:
    stopped_after(2, job, model)
    sealed_tfidf_bundle(tmp_path / "other", strength=1.0)
    other = load_model(TrackingSettings(model_uri=str(tmp_path / "other")), SigningSettings())

    with pytest.raises(ResumeRefused, match=messages.RESUME_OTHER_MODEL):
        run_job(job, other)
    run_job(job, model)

    assert lines_of(job) == WHOLE


def test_other_options_do_not_continue(job: Job, model: ScoringModel) -> None:
    stopped_after(2, job, model)

    with pytest.raises(ResumeRefused, match=messages.RESUME_OTHER_COLUMNS):
        run_job(Job(job.source, job.target, job.reading, scores=True), model)


def test_a_part_that_is_gone_is_noticed(job: Job, model: ScoringModel) -> None:
    stopped_after(2, job, model)
    (job.target.with_name("out.csv.parts") / "part-000000.csv").unlink()

    with pytest.raises(ResumeRefused, match=messages.RESUME_PART_MISSING):
        run_job(job, model)


def test_two_runs_do_not_write_one_output(job: Job, model: ScoringModel) -> None:
    with (
        PartsFolder(job.target, {}, restart=False),
        pytest.raises(OutputRefused, match=messages.OUTPUT_IN_USE),
    ):
        run_job(job, model)


def test_an_existing_output_is_replaced_only_when_asked(job: Job, model: ScoringModel) -> None:
    job.target.write_text("precious", encoding="utf-8")

    with pytest.raises(OutputRefused, match="--overwrite"):
        run_job(job, model)
    assert job.target.read_text(encoding="utf-8") == "precious"
    run_job(Job(job.source, job.target, job.reading, overwrite=True), model)

    assert lines_of(job) == WHOLE


def test_the_input_is_never_the_output(job: Job, model: ScoringModel) -> None:
    with pytest.raises(OutputRefused, match=messages.OUTPUT_IS_INPUT):
        run_job(Job(job.source, job.source, overwrite=True), model)
