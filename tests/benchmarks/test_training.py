"""The benchmark at its smallest: what it trains on, that both ways train the same thing, and what it tells."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.training.__main__ import main
from benchmarks.training.rounds import Rounds
from benchmarks.training.texts import benchmark_texts
from benchmarks.training.ways import Measured
from tests import golden_messages as messages
from training.data import Part


def test_articles_are_cut_short_and_each_is_in_one_part() -> None:
    found = benchmark_texts(None, train=60, test=40, seed=1)
    assert "BBC News" in found.source
    assert (len(found.splits.train), len(found.splits.test)) == (60, 40)
    words = [len(text.split()) for text in found.splits.train.texts]
    assert min(words) >= 40
    assert sum(words) / len(words) < 80
    assert not set(found.splits.train.texts) & set(found.splits.test.texts)
    again = benchmark_texts(None, train=60, test=40, seed=1)
    assert again.splits.train.fingerprint == found.splits.train.fingerprint


def test_ag_news_own_layout_is_known(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    source = benchmark_texts(None, train=120, test=40, seed=1).splits.train
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
            (1 + index % 4, f"Title {index}", text) for index, text in enumerate(source.texts)
        )
    found = benchmark_texts(path, train=40, test=20, seed=1)
    assert found.splits.labels == ("business", "sci_tech", "sports", "world")
    assert found.source == "AG News (train.csv)"
    assert isinstance(found.splits.train, Part)
    assert found.splits.train.texts[0].startswith("Title ")


def test_ratios_are_taken_round_by_round() -> None:
    slow = [Measured(10.0, 20.0, 0.80), Measured(40.0, 22.0, 0.82), Measured(12.0, 24.0, 0.81)]
    fast = [Measured(4.0, 10.0, 0.81), Measured(16.0, 11.0, 0.82), Measured(6.0, 8.0, 0.81)]
    rounds = Rounds({"plain": slow, "ours": fast}, texts_a_round=120)
    assert rounds.ratios == [2.5, 2.5, 2.0]
    assert (rounds.speedup, rounds.cpu_speedup) == (2.5, 2.0)
    assert rounds.texts_a_second("ours") == 20.0
    assert rounds.gain.value == pytest.approx(0.01 / 3)
    assert rounds.gain.low < 0 < rounds.gain.high


@pytest.mark.slow
def test_the_command_measures_both_ways_and_writes_its_report(tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        main,
        ["--train", "24", "--test", "16", "--rounds", "2", "--layers", "1", "--out", str(tmp_path / "out")],
        env={"VAR_DIR": str(tmp_path / "var")},
        catch_exceptions=False,
    )
    assert ran.exit_code == 0, ran.output
    assert messages.DATA_STANDS_IN in ran.stdout
    lines = [line.split(":")[0] for line in ran.stdout.splitlines() if line.startswith("round")]
    assert lines == ["round 1, plain", "round 1, ours", "round 2, ours", "round 2, plain"]
    figures = json.loads((tmp_path / "out" / "training-speed.json").read_text(encoding="utf-8"))
    assert figures["mean_tokens"] < figures["longest"] <= 128
    for place in range(2):
        plain, ours = (figures["rounds"][way][place]["seconds"] for way in ("plain", "ours"))
        assert figures["speedups"][place] == pytest.approx(plain / ours)
    assert set(figures["macro_f1_difference"]) == {"value", "low", "high"}
    page = (tmp_path / "out" / "training-speed.md").read_text(encoding="utf-8")
    assert f"**{figures['speedup']:.2f}**" in page
    assert "24 training texts, 1 epoch, batches of 16" in page
    assert (tmp_path / "out" / "training-speed.png").read_bytes().startswith(b"\x89PNG")
