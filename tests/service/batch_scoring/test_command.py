"""`python -m service.batch` as a user meets it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifier import Classifier
from service.batch_scoring.errors import ModelMissing
from service.batch_scoring.model import load_model
from stores.registry import ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from tests import golden_messages as messages
from tests.service.batch_scoring.conftest import ROOT, BatchCommand
from tests.support.bundles import bbc_part, registered
from tests.support.networks import quantise, seal_anew, sealed_network_bundle
from tests.support.registries import with_tables
from tests.support.servers import free_port

MEMORY_ALLOWANCE_KB = 40_000
"""What ten times the rows may take more: the allocator's slack, not the rows (30,000 are 60 MB of text alone)."""


def write_rows(path: Path, count: int) -> Path:
    # Long and soon read: blanks take memory as letters do.
    texts = [text[:80].ljust(2000) + "." for text in bbc_part(2)[0]]
    repeated = [f"{i} {texts[i % len(texts)]}" for i in range(count)]
    if path.suffix == ".parquet":
        # One row group, as other writers make them: reading must not take it whole.
        pq.write_table(pa.table({"text": repeated}), path, row_group_size=count)
    else:
        path.write_text("".join(json.dumps({"text": t}) + "\n" for t in repeated), encoding="utf-8")
    return path


def peak_kb(batch: BatchCommand, source: Path, target: Path) -> int:
    run = batch.start(source, target, "--overwrite", "--chunk-rows", 500)
    assert run.stderr is not None
    said = run.stderr.read()
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    run.stderr.close()
    assert run.returncode == 0, said
    return usage.ru_maxrss


@pytest.mark.slow
def test_the_precision_of_a_network_can_be_chosen(batch: BatchCommand, tmp_path: Path) -> None:
    texts = bbc_part(2)[0][:30]
    network = sealed_network_bundle(tmp_path / "network").folder
    quantise(network)
    seal_anew(network, "model.onnx", bbc_part(1)[0][:6])
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    scores = {}
    for name, options in {"default": [], "float32": ["float32"], "int8": ["int8"]}.items():
        output = tmp_path / f"{name}.jsonl"
        chosen = [word for option in options for word in ("--precision", option)]
        run = batch.call(tmp_path / "in.jsonl", output, *chosen, MODEL_URI=str(network))
        assert run.exit_code == 0, run.stderr
        scores[name] = [json.loads(line)["score"] for line in output.read_text().splitlines()]
    int8 = Classifier.load(network).beside("model.int8.onnx").predict(texts).max(axis=1)
    assert scores["default"] == scores["float32"]
    assert scores["int8"] == pytest.approx(int8.tolist(), abs=1e-3)
    assert scores["int8"] != scores["float32"]
    refused = batch.call(tmp_path / "in.jsonl", tmp_path / "none.jsonl", "--precision", "int8")
    assert refused.exit_code == 1, "the usual bundle is no network"
    assert "model.int8.onnx" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["jsonl", "parquet"])
def test_memory_does_not_grow_with_the_file(extension: str, batch: BatchCommand, tmp_path: Path) -> None:
    few = write_rows(tmp_path / f"few.{extension}", 3_000)
    many = write_rows(tmp_path / f"many.{extension}", 30_000)

    small, big = (peak_kb(batch, source, tmp_path / f"out.{extension}") for source in (few, many))

    assert big - small < MEMORY_ALLOWANCE_KB, (small, big)


def test_it_says_what_it_did(batch: BatchCommand, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nShares fell\n \nA goal\n", encoding="utf-8")

    run = batch.run("in.csv", "out.csv")

    assert run.returncode == 0, run.stderr
    words = " ".join(run.stderr.split())
    for part in ("model news version folder", "rows 3", "scored 2", "not scored 1", "1: no text", "rows/s"):
        assert part in words


def test_refusals_are_one_line_and_exit_1(batch: BatchCommand, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("body\nShares fell\n", encoding="utf-8")
    run = batch.run("in.csv", "out.csv")
    assert run.returncode == 1
    assert "no column 'text'" in run.stderr
    assert "Traceback" not in run.stderr

    for arguments, message in [
        (("none.csv", "out.csv"), "there is no file none.csv"),
        (("in.csv", "in.csv"), "is the input"),
    ]:
        refused = batch.call(*arguments)
        assert refused.exit_code == 1
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    missing = batch.call("in.csv", "out.csv", "--text-column", "body", MODEL_URI=str(tmp_path / "nowhere"))
    assert missing.exit_code == 1
    assert "nowhere" in missing.stderr


def test_the_champion_or_the_pinned_version_scores(
    batch: BatchCommand, batch_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text\nShares fell\n", encoding="utf-8")
    registry = ModelRegistry(TrackingSettings(var_dir=with_tables(tmp_path)))
    nothing = batch.call("in.csv", "early.csv", MODEL_URI="")
    assert nothing.exit_code == 1
    assert "python -m training run" in nothing.stderr
    registered(registry, batch_bundle)
    registered(registry, batch_bundle, promote=False)

    run = batch.run("in.csv", "champion.csv", MODEL_URI="")

    assert run.returncode == 0, run.stderr
    assert "news version 1" in " ".join(run.stderr.split())

    def version_of(uri: str) -> str:
        return load_model(TrackingSettings(var_dir=tmp_path, model_uri=uri), SigningSettings()).version

    assert version_of("models:/news/2") == "2"
    assert version_of("models:/news@champion") == "1"
    with pytest.raises(ModelMissing, match=messages.MODEL_VERSION_MISSING):
        version_of("models:/news/9")
    with pytest.raises(ModelMissing, match=messages.MODEL_ADDRESS_UNKNOWN):
        version_of("models:/news")


def test_the_last_known_champion_scores_while_mlflow_is_away(
    batch: BatchCommand, batch_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text\nShares fell\n", encoding="utf-8")
    registry = ModelRegistry(TrackingSettings(var_dir=with_tables(tmp_path)))
    registered(registry, batch_bundle)
    registry.fetch(registry.by_alias())
    registry.cache.remember(registry.by_alias())
    # What that left behind becomes what an MLflow server left behind, which nobody answers for now.
    address = f"http://127.0.0.1:{free_port()}"
    (cache,) = (tmp_path / "models").iterdir()
    cache.rename(cache.with_name("news-" + hashlib.sha256(address.encode()).hexdigest()[:8]))

    run = batch.call("in.csv", "out.csv", MODEL_URI="", MLFLOW_TRACKING_URI=address)

    assert run.exit_code == 0, run.stderr
    assert messages.CACHED_VERSION_SERVED in " ".join(run.stderr.split())
    assert (tmp_path / "out.csv").is_file()


def test_importing_the_command_imports_nothing_heavy() -> None:
    heavy = {"pyarrow", "torch", "pandas", "mlflow", "ray"}
    code = f"import sys, service.batch; print(sorted({heavy!r} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.stdout.strip() == "[]"
