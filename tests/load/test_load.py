"""The load test against a real service; always in a separate process, because Locust patches the standard library."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from load.run import is_loopback
from stores.predictions import PredictionStore
from stores.predictions.schema import feedback
from tests.support.bundles import bbc_articles, sealed_tfidf_bundle
from tests.support.servers import Server, free_port, serving

ROOT = Path(__file__).parents[2]
KEY = "a-key-for-load"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("load")
    sealed_tfidf_bundle(folder / "news")
    with serving(folder / "var", {"MODEL_URI": str(folder / "news"), "API_KEYS": KEY}) as server:
        yield server


def load(var: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "load.run", *map(str, arguments)],
        env={**os.environ, "VAR_DIR": str(var), "COLUMNS": "160", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def reports(var: Path) -> Path:
    (folder,) = (var / "load").iterdir()
    return folder


@pytest.mark.slow
def test_every_request_of_the_mix_is_answered_and_reported(service: Server, tmp_path: Path) -> None:
    run = load(tmp_path, "--host", service.address, "--users", 6, "--seconds", 6, LOAD_API_KEY=KEY)

    assert run.returncode == 0, run.stdout + run.stderr
    with (reports(tmp_path) / "stats.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    assert {"one text", "a list", "with options", "feedback"} <= set(rows)
    assert all(int(row["Request Count"]) > 0 and row["Failure Count"] == "0" for row in rows.values())
    html = (reports(tmp_path) / "report.html").read_text(encoding="utf-8")
    assert "one text" in html
    assert re.search(r"\n│ all .*│ +0 │", run.stdout)
    store = PredictionStore.open(f"sqlite:///{service.log.parent / 'predictions.db'}")
    rows = store.window(0, 1e12, sources=None)
    with store.reading() as connection:
        sources_of_labels = set(connection.execute(select(feedback.c.source)).scalars())
    store.close()
    assert {row.source for row in rows} == {"load"}
    assert sources_of_labels == {"load"}
    topics: dict[str, set[str]] = {}
    for text, topic in zip(*bbc_articles(), strict=True):
        topics.setdefault(text.strip().splitlines()[0].strip(), set()).add(topic)
    told = [row for row in rows if row.true_label and row.text in topics]
    assert told
    assert all(row.true_label in topics[row.text] for row in told)


@pytest.mark.slow
def test_failures_are_counted_by_the_code_of_the_contract(service: Server, tmp_path: Path) -> None:
    refused = httpx.post(f"{service.address}/classify", json={"text": "a"})
    code = refused.json()["error"]["code"]

    run = load(tmp_path, "--host", service.address, "--users", 2, "--seconds", 2)

    assert run.returncode == 1
    assert f"401 {code}" in run.stdout


def test_nobody_answers(tmp_path: Path) -> None:
    run = load(tmp_path, "--host", f"http://127.0.0.1:{free_port()}", "--users", 1, "--seconds", 1)

    assert run.returncode == 1
    assert "no answer: ConnectionRefusedError" in run.stdout


def test_another_machine_is_loaded_only_when_that_is_meant(tmp_path: Path) -> None:
    run = load(tmp_path, "--host", "http://service.example:3000", "--seconds", 1)

    assert run.returncode == 1
    assert "--allow-remote" in run.stderr
    assert not (tmp_path / "load").exists()


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("http://127.0.0.1:3000", True),
        ("http://[::1]:3000", True),
        ("http://localhost", True),
        ("http://127.0.0.1.example.org", False),
        ("http://10.0.0.7:3000", False),
        ("127.0.0.1:3000", False),
    ],
)
def test_which_addresses_are_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) == here


def test_no_label_is_made_up_for_a_model_with_other_labels() -> None:
    def prediction(id_: str, *labels: str) -> dict[str, object]:
        return {"id": id_, "label": labels[0], "scores": [{"label": label, "score": 0.5} for label in labels]}

    answers = [prediction("1", "billing", "tech"), prediction("2", "billing", "delivery")]
    code = "import json, sys; from load.locustfile import labels_of as f; print(json.dumps(f(*json.load(sys.stdin))))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([["tech", "tech"], answers]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == [["1", "tech"]]


GOOD = {"predictions": [{"score": 0.7, "scores": [{"score": 0.7}, {"score": 0.3}]}]}

UNSORTED = {"predictions": [{"score": 0.3, "scores": [{"score": 0.3}, {"score": 0.7}]}]}


@pytest.mark.parametrize(
    ("answer", "asked", "top_k", "verdict"),
    [
        (GOOD, 1, None, None),
        (GOOD, 2, None, "2 predictions were due"),
        ([], 1, None, "1 predictions were due"),
        (
            {"predictions": [{"score": 0.7, "scores": [{"score": 0.7}]}]},
            1,
            None,
            "probabilities do not sum to 1",
        ),
        ({"predictions": [{"score": 0.7, "scores": [{"score": 0.7}]}]}, 1, 1, None),
        (GOOD, 1, 1, "more than top_k=1 scores"),
        (UNSORTED, 1, None, "scores are not sorted"),
    ],
)
def test_answers_are_checked(answer: object, asked: int, top_k: int | None, verdict: str | None) -> None:
    code = "import json, sys; from load.locustfile import wrong_in; print(json.dumps(wrong_in(*json.load(sys.stdin))))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([answer, asked, top_k]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == verdict
