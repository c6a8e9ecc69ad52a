"""The benchmark measures what it says: loops against a real server, tables from known figures, and a real round."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from itertools import count
from pathlib import Path

import pytest

from benchmarks.serving.batching import OURS, THEIRS, Figures, table
from benchmarks.serving.driving import Observed, Target, answers, closed, opened, statuses
from benchmarks.serving.environment import make_environment
from benchmarks.serving.floor import verdict
from benchmarks.serving.material import Material
from benchmarks.serving.peers import peers
from benchmarks.serving.pictures import latency, throughput
from benchmarks.serving.poison import poisoned
from benchmarks.serving.results import Results, Start
from benchmarks.serving.running import LISTS, OPEN, Plan, closed_name, run
from benchmarks.serving.servers.infinity import copy_weights
from benchmarks.serving.starting import DidNotStart, started
from benchmarks.serving.table import markdown
from classifier import Classifier, PredictionFailed
from tests.support.bundles import bbc_part
from tests.support.loopback import Quiet, loopback
from tests.support.network_cascades import sealed_cascade_bundle
from tests.support.networks import MAX_LENGTH, quantise, seal_anew, sealed_network_bundle


@contextmanager
def echo(*, pause: float = 0.0, every_third_fails: bool = False) -> Iterator[tuple[str, list[dict]]]:
    """A server that answers with what it was asked."""
    asked: list[dict] = []
    turn = count(1)  # handed out whole, whichever thread asks

    class Handler(Quiet):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.body()
            asked.append(json.loads(body))
            number = next(turn)
            time.sleep(pause)
            self.send_response(503 if every_third_fails and number % 3 == 0 else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with loopback(Handler) as address:
        yield f"{address}/", asked


def seen(rate: float, milliseconds: float, *, failed: int = 0) -> Observed:
    """A loop of 10 s that saw this."""
    answered = round(10 * rate)
    return Observed(answered, failed, 10.0, [milliseconds / 1000] * answered)


def material_of(bundle: Path, weights: Path, *, step: int = 30) -> Material:
    """The texts of part 1 of BBC News, and a network that is its own champion."""
    texts, labels = bbc_part(1, step=step)
    return Material(bundle, bundle, bundle, weights, tuple(texts), tuple(labels), MAX_LENGTH, threads=1)


def known() -> Results:
    """Two servers, three rounds; ours is three times as fast."""
    results = Results(machine={"cores": 2, "threads": 2}, texts={"mixed": 38.0}, rate=15.0)
    for round_, factor in enumerate((0.8, 1.0, 1.1), start=1):
        for peer, rate in (("Champion", 90.0), ("FastAPI + pipeline", 30.0)):
            for clients in (1, 32):
                results.add(
                    peer, closed_name(clients, "mixed"), round_, seen(rate * factor, 1000 * clients / rate)
                )
            results.add(peer, OPEN, round_, seen(15, 40, failed=round_ - 1))
            results.starts.append(Start(peer, round_, 4.0, 400.0, 1.0, 0.07 if peer == "Champion" else None))
        results.ceilings.append((round_, "mixed", 100.0 * factor))
        results.calls.append((round_, "mixed", 9.0 / factor))
    return results


def test_a_closed_loop_keeps_clients_busy_and_counts_failures():
    with echo(pause=0.01, every_third_fails=True) as (url, asked):
        found = asyncio.run(
            closed(Target(url, lambda text: {"text": text}), ["a", "b"], clients=4, seconds=0.4)
        )
    assert found.answered + found.failed == len(asked) >= 8
    assert found.failed == len(asked) // 3
    assert {item["text"] for item in asked} == {"a", "b"}
    assert len(found.latencies) == found.answered
    assert min(found.latencies) >= 0.01
    assert found.rate == pytest.approx(found.answered / found.seconds)


def test_an_open_loop_keeps_its_rate_and_counts_the_waiting():
    with echo(pause=0.2) as (url, asked):
        found = asyncio.run(opened(Target(url, lambda text: [text]), ["a"], rate=40, seconds=1.0, seed=1))
    assert found.failed == 0
    assert found.answered == len(asked)
    assert 15 <= len(asked) <= 80, "40 a second, at random moments"
    assert found.percentile(0.5) >= 200


def test_an_answer_is_read_for_each_text():
    with echo() as (url, _asked):
        found = asyncio.run(answers(Target(url, lambda text: {"text": text}), ["one", "two"]))
    assert found == [{"text": "one"}, {"text": "two"}]


def test_the_tables_hold_medians_ratios_and_what_each_takes():
    words = markdown(known(), "Champion")
    assert "| Champion | 90.0 | 11 | 11 | 11 | 0 | – |" in words
    assert "| FastAPI + pipeline | 30.0 | 33 | 33 | 33 | 0 | 3.00 |" in words
    assert "| *the classifier in-process* | 100.0 | – | – | – | – | 0.90 |" in words
    assert "| *the classifier in-process* | 100.0 | 9 | – | – | – | 0.90 |" in words
    assert "### 15.0 requests a second" in words
    assert "| Champion | 40 | 40 | 40 | 3 |" in words
    assert "| Champion | 4.0 | 400 | 7% | 100% |" in words
    assert words.index("| Champion |") < words.index("| FastAPI + pipeline |"), "the fastest first"


def test_pictures_and_json_are_written(tmp_path):
    results = known()
    for picture in (
        throughput(results, "Champion", closed_name(32, "mixed"), tmp_path / "throughput.png"),
        latency(results, "Champion", tmp_path / "latency.png"),
    ):
        assert picture.read_bytes().startswith(b"\x89PNG")
    results.write(tmp_path / "results.json")
    assert len(json.loads((tmp_path / "results.json").read_text())["figures"]) == 18


@pytest.mark.parametrize(("least", "kept"), [(2.9, True), (3.1, False)])
def test_the_floor_holds_or_not(least, kept):
    found = verdict(known(), "Champion", "FastAPI + pipeline", least)
    assert found.multiple == pytest.approx(3.0)
    assert found.kept is kept


def test_a_failed_request_breaks_the_floor():
    results = known()
    results.add("Champion", closed_name(32, "mixed"), 4, seen(90, 10, failed=1))
    assert not verdict(results, "Champion", "FastAPI + pipeline", 1.0).kept


def test_texts_come_short_mixed_and_long():
    material = material_of(Path(), Path(), step=40)
    kinds = material.kinds()
    words = {kind: [len(text.split()) for text in texts] for kind, texts in kinds.items()}
    assert set(words["short"]) == {12}
    assert set(words["long"]) == {150}
    assert len(set(words["mixed"])) > 10
    assert kinds == material.kinds(), "the same for every server"


def test_an_environment_is_kept_while_its_lock_stays_as_it_is(tmp_path):
    lock, folder = tmp_path / "peer.lock", tmp_path / "peer"
    torch = version("torch").partition("+")[0]
    # Nothing of this name can be installed: whoever tries fails.
    lock.write_text("no-such-package==0 --hash=sha256:" + "0" * 64, encoding="utf-8")
    folder.mkdir()
    (folder / "lock.sha256").write_text(hashlib.sha256(lock.read_bytes() + torch.encode()).hexdigest())
    make_environment(lock, folder)
    assert [path.name for path in folder.iterdir()] == ["lock.sha256"]

    lock.write_text("another\n", encoding="utf-8")
    (folder / "of the old one").touch()
    with pytest.raises(subprocess.CalledProcessError):
        make_environment(lock, folder)
    assert not (folder / "of the old one").exists()
    assert not (folder / "lock.sha256").exists(), "half an environment is made again"


def test_infinity_cuts_texts_where_the_others_do(tmp_path):
    source = tmp_path / "weights"
    source.mkdir()
    (source / "config.json").write_text("{}")
    (source / "tokenizer_config.json").write_text('{"model_max_length": 512, "do_lower_case": true}')
    copy_weights(source, tmp_path / "copy", max_length=64)
    copied = json.loads((tmp_path / "copy" / "tokenizer_config.json").read_text())
    assert copied == {"model_max_length": 64, "do_lower_case": True}
    assert (tmp_path / "copy" / "config.json").read_text() == "{}"


def test_every_request_of_a_burst_has_a_status():
    with echo(every_third_fails=True) as (address, asked):
        found = asyncio.run(statuses(Target(address, lambda text: {"text": text}), ["a"] * 12, clients=12))
    assert [code for code, _ in found].count(503) == 4
    assert len(asked) == 12
    nobody = asyncio.run(statuses(Target(address, lambda text: {"text": text}), ["a"], clients=1))
    assert nobody == [(0, None)]


def test_a_poisoned_bundle_loads_and_fails_on_one_word(tmp_path):
    bundle, texts = tmp_path / "bundle", bbc_part(1, step=30)[0]
    sealed_network_bundle(bundle, weights=tmp_path / "weights")
    material = replace(material_of(bundle, tmp_path / "weights"), texts=tuple(texts))
    broken, word = poisoned(material, tmp_path / "poisoned")
    assert not any(word in text.lower() for text in texts)
    classifier = Classifier.load(broken.bundle)
    sound = classifier.predict(texts[:2])
    assert (sound == Classifier.load(bundle).predict(texts[:2])).all()
    with pytest.raises(PredictionFailed, match="NaN"):
        classifier.predict([texts[0], f"{word} {texts[1]}"])


def test_the_table_of_batchers_has_medians():
    rows = table({THEIRS: Figures(rate=[1.0, 9.0, 5.0], innocent=[0.5]), OURS: Figures(rate=[20.0])})
    assert "requests/s | 5.0 | 20.0 |" in rows
    assert "that failed | 50.0% | 0.0% |" in rows


@pytest.mark.slow
def test_a_round_with_two_servers_on_the_same_weights(tmp_path):
    bundle, weights = tmp_path / "bundle", tmp_path / "weights"
    sealed_network_bundle(bundle, weights=weights)
    quantise(bundle)
    seal_anew(bundle, "model.onnx", bbc_part(1)[0][:4])
    cascade = sealed_cascade_bundle(tmp_path / "cascade", bundle).folder
    material = replace(material_of(bundle, weights, step=30), champion=cascade)
    plan = Plan(("champion", "network", "fastapi"), rounds=1, seconds=0.5, clients=(2,), kinds=("short",))
    said: list[str] = []
    results = run(plan, material, tmp_path, said.append)
    assert results.failures == {}
    network = "Champion, network alone"
    assert set(results.peers()) == {"Champion", network, "FastAPI + pipeline"}
    assert set(results.scenarios()) == {"closed-2-mixed", "closed-2-short", "closed-2-early", LISTS, OPEN}
    assert {item.peer for item in results.figures if item.scenario == "closed-2-early"} == {"Champion"}
    assert {item.peer for item in results.figures if item.scenario == LISTS} == {"Champion", network}
    assert {peer for peer, _, rate, in_process in results.files if min(rate, in_process) > 0} == {
        "Champion", network,
    }  # fmt: skip
    quality = results.quality
    assert quality is not None
    assert 0 < quality.share_early < 1
    assert quality.difference[1] <= quality.champion - quality.network <= quality.difference[2]
    assert [item for item in results.figures if item.rate == 0 or item.failed] == []
    agreements = {item.peer: item.agreement for item in results.starts}
    assert agreements[network] == agreements["FastAPI + pipeline"], "the same weights give the same labels"
    assert all(item.megabytes > 50 for item in results.starts)
    (ours,) = [item for item in results.starts if item.peer == "Champion"]
    assert ours.padding is not None
    assert 0 <= ours.padding < 1
    assert {kind for _, kind, rate in results.ceilings if rate > 0} == {"mixed", "short"}
    assert {kind for _, kind, milliseconds in results.calls if milliseconds > 0} == {"mixed", "short"}
    words = markdown(results, "Champion")
    assert f"on {quality.texts} unseen texts" in words
    assert "### Lists of 200 texts" in words
    assert "### `python -m service.batch`" in words
    assert any(re.search("round 1 of 1", words) for words in said)

    broken = peers(material, tmp_path)["champion"]
    with (
        pytest.raises(DidNotStart, match=re.escape("dead.log")),
        started(
            type(broken)("dead", lambda _port: ["false"], "/", str, str), material, tmp_path / "dead.log"
        ),
    ):
        raise AssertionError("it cannot have started")
