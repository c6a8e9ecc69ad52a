"""`kill -9` of each process, again and again: nothing that was answered or finished is lost or doubled."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from drills.champion import articles, bundle, registered_var, registry, short_texts
from drills.processes import DrillFailed, Service, finish, kill, start, tail
from drills.registry import Bench, Outcome, drill
from drills.traffic import missing_or_doubled, stored_ids, traffic

_KILLS = 20


@drill(
    "kills.service",
    promise="After kill -9 of the service every answered id is stored exactly once, and it starts again.",
    limit=600,
)
def service(bench: Bench) -> Outcome:
    """Kill the service under load, start it again on the same port and state, and look for every id."""
    drawn, var = bench.random(), bench.folder / "var"
    settings = {"MODEL_URI": str(bundle(bench))}
    kills = bench.count(_KILLS, least=2)
    starts = []
    running = Service(var, settings)
    try:
        running.wait()
        with traffic(running.port, pause=0) as found:
            for _ in range(kills):
                time.sleep(drawn.uniform(0.2, 1.0))
                kill(running.process)
                running = Service(var, settings, port=running.port)
                starts.append(running.wait())
            time.sleep(0.5)
    finally:
        running.stop()
    faults = found.faults + missing_or_doubled(found.ids, stored_ids(f"sqlite:///{var / 'predictions.db'}"))
    figure = (
        f"{kills} kills, {len(found.ids):,} answered ids, {len(faults)} faults; "
        f"ready again in at most {max(starts):.1f} s"
    )
    return Outcome(figure, faults)


@drill(
    "kills.batch",
    promise="A batch job that is killed continues with the same command; every row is scored once, in order.",
    limit=300,
)
def batch(bench: Bench) -> Outcome:
    """Kill the job at random moments after its first chunk; the output must equal that of a job without kills."""
    drawn = bench.random()
    source, target, plain = (bench.folder / f"{name}.csv" for name in ("texts", "scored", "plain"))
    log, var = bench.folder / "batch.log", bench.folder / "var"
    texts = short_texts(bench.count(40_000, least=4000), words=8)
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "text"])
        writer.writerows(enumerate(texts))
    options = ["--model-uri", str(bundle(bench)), "--chunk-rows", "256"]
    if finish(start(["-m", "service.batch", str(source), str(plain), *options], var, log), log):
        raise DrillFailed(f"the job without kills failed: {tail(log)}")
    kills, ended = 0, 0
    faults = []
    while kills < bench.count(_KILLS, least=2):
        job = start(["-m", "service.batch", str(source), str(target), *options], var, log)
        began, parts = time.monotonic(), _changes(bench.folder, target)
        while (
            job.poll() is None and time.monotonic() - began < 60 and _changes(bench.folder, target) == parts
        ):
            time.sleep(0.01)
        time.sleep(drawn.uniform(0, 0.3))
        if job.poll() is None:
            kill(job)
            kills += 1
            continue
        if job.returncode or target.read_bytes() != plain.read_bytes():
            faults.append(
                f"after {kills} kills it ended with {job.returncode} and another output: {tail(log)}"
            )
            break
        ended += 1
        target.unlink()
    if not faults:
        status = finish(start(["-m", "service.batch", str(source), str(target), *options], var, log), log)
        if status or target.read_bytes() != plain.read_bytes():
            faults.append(f"the job after {kills} kills ended with {status} and another output: {tail(log)}")
    return Outcome(
        f"{kills} kills in {ended + 1} jobs of {len(texts):,} rows; outputs equal to one without kills",
        faults,
    )


def _changes(folder: Path, target: Path) -> int:
    """A number that changes whenever the job makes something safe beside its output."""
    found = [
        path for path in folder.rglob("*") if target.name in str(path.relative_to(folder)) and path.is_file()
    ]
    total = 0
    for path in found:
        with suppress(FileNotFoundError):
            total += path.stat().st_size + 1
    return total


@drill(
    "kills.check",
    promise="After kill -9 of a monitoring check the next one works, and no half-written verdict is left in place.",
    limit=600,
)
def check(bench: Bench) -> Outcome:
    """Kill `python -m monitoring check` at random moments, most of them after its imports."""
    drawn = bench.random()
    var, log = registered_var(bench), bench.folder / "check.log"
    _fill(bench, var)
    command = ["-m", "monitoring", "check", "--window", "1h"]
    settings = {"MONITORING_PERMUTATIONS": "999"}
    began = time.monotonic()
    if (status := finish(start(command, var, log, settings), log)) not in (0, 1, 2):
        raise DrillFailed(f"a check without kills ended with {status}: {tail(log)}")
    usual = time.monotonic() - began
    kills = 0
    for _ in range(bench.count(_KILLS, least=2)):
        job = start(command, var, log, settings)
        time.sleep(drawn.uniform(0.4, 0.95) * usual)
        if job.poll() is None:
            kill(job)
            kills += 1
    faults = []
    status = finish(start(command, var, log, settings), log)
    if status not in (0, 1, 2):
        faults.append(f"the check after {kills} kills ended with {status}: {tail(log)}")
    for path in (var / "monitoring").rglob("verdict.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            faults.append(f"{path} is half-written")
    if not (var / "monitoring" / "latest" / "verdict.json").exists():
        faults.append("var/monitoring/latest does not lead to a verdict")
    return Outcome(
        f"{kills} kills at 40 to 95 % of {usual:.1f} s, then a check with exit status {status}", faults
    )


def _fill(bench: Bench, var: Path) -> None:
    """Predictions of the last hour, as the service would have written them."""
    from classifier import Classifier
    from stores.predictions import Prediction, PredictionStore

    classifier = Classifier.load(bundle(bench))
    texts = articles(2, 8)[0]
    store = PredictionStore.open(f"sqlite:///{var / 'predictions.db'}")
    rows = []
    for text, probabilities in zip(texts, classifier.predict(texts), strict=True):
        scores = {name: float(p) for name, p in zip(classifier.labels, probabilities, strict=True)}
        label = max(scores, key=scores.__getitem__)
        rows.append(
            Prediction(
                text=text,
                label=label,
                score=scores[label],
                scores=scores,
                tokens=len(text.split()),
                truncated=False,
                model_name="news",
                model_version="1",
                model_alias="champion",
                created_at=time.time() - 60,
            )
        )
    store.add(rows)
    store.close()


@drill(
    "kills.promote",
    promise="A promotion that is killed is completed or undone by the next; champion and previous are never the same.",
    limit=600,
)
def promote(bench: Bench) -> Outcome:
    """Kill `python -m training promote` around its writes to the registry."""
    drawn = bench.random()
    var, log = registered_var(bench), bench.folder / "promote.log"
    models = registry(var)
    faults: list[str] = []
    kills = done = 0
    for turn in range(bench.count(_KILLS, least=2)):
        before = models.aliases()
        target = "2" if before["champion"] == "1" else "1"
        job = start(["-m", "training", "promote", target, "--force"], var, log)
        if _killed_at_a_write(job, var / "mlflow.db", drawn):
            kills += 1
        else:
            done += 1
        # The next change of the champion repairs what it finds.
        former = models.aliases().get("champion")
        wanted = "1" if former == "2" else "2"
        try:
            models.promote(wanted, accept_labels=True)
        except Exception as error:
            faults.append(f"turn {turn}: the next promotion failed: {type(error).__name__}: {error}")
            break
        after = models.aliases()
        if after.get("champion") != wanted or after.get("previous") == wanted:
            faults.append(f"turn {turn}: promoted {wanted} from {former}, and the aliases are {after}")
        restored = models.rollback()
        if restored.version == wanted:
            faults.append(f"turn {turn}: a rollback from {wanted} changed nothing")
    with sqlite3.connect(var / "mlflow.db") as database:
        versions = database.execute("SELECT count(*) FROM model_versions").fetchone()[0]
    if versions != 2:
        faults.append(f"the registry has {versions} versions instead of 2")
    return Outcome(
        f"{kills} kills around a write, {done} promotions that ended before; {len(faults)} faults", faults
    )


def _killed_at_a_write(job: subprocess.Popen[bytes], database: Path, drawn: Random) -> bool:
    """Kill a command within a quarter of a second of its first write to an SQLite file; False: it ended before."""
    seen = _state(database)
    end = time.monotonic() + 120
    while job.poll() is None and time.monotonic() < end:
        if _state(database) != seen:
            time.sleep(drawn.uniform(0, 0.25))
            if job.poll() is not None:
                return False
            kill(job)
            return True
        time.sleep(0.001)
    kill(job)
    return False


def _state(database: Path) -> tuple[int, ...]:
    found = []
    for path in (
        database,
        database.with_name(database.name + "-journal"),
        database.with_name(database.name + "-wal"),
    ):
        try:
            found.append(path.stat().st_mtime_ns)
        except FileNotFoundError:
            found.append(0)
    return tuple(found)
