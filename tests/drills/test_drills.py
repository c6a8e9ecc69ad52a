"""What runs drills: choosing them, their results, and what is left of them; not the faults themselves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

import drills.__main__ as command
from drills.registry import Bench, Drill, Outcome, all_drills, chosen, drill
from drills.results import Result, keep, kept, page
from drills.running import run_drill
from tests.drills import toy_drills

TOYS = {
    name.split(".")[1]: Drill(name, promise, limit, function)
    for name, promise, limit, function in (
        ("toys.holds", "A promise | with a bar.", 30, toy_drills.holds),
        ("toys.fails", "It does not hold.", 30, toy_drills.fails),
        ("toys.raises", "It raises.", 30, toy_drills.raises),
        ("toys.dies", "Its process dies.", 30, toy_drills.dies),
        ("toys.hangs", "It does not end.", 2, toy_drills.hangs),
    )
}


@pytest.fixture(autouse=True)
def state_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setattr(command, "all_drills", lambda: list(TOYS.values()))


def run(name: str, folder: Path, scale: float = 1.0) -> Result:
    return run_drill(TOYS[name], folder, scale=scale, seed=13)


def test_scale_shrinks_counts_and_durations_the_seed_the_rest(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tmp_path, scale=0.01, seed=5)
    assert (bench.count(1000), bench.count(10), bench.count(10, least=3)) == (10, 1, 3)
    assert (bench.seconds(500), bench.seconds(60)) == (5.0, 2.0)
    assert bench.random().random() == bench.random().random()


def test_page_and_command_name_every_drill() -> None:
    known = all_drills()
    assert {each.name.split(".")[0] for each in known} == {
        "http_input", "connections", "files", "bundles", "kills", "load", "memory", "stores", "models",
    }  # fmt: skip
    assert len({each.promise for each in known}) == len(known)
    assert [each.name for each in chosen(known, ["kills"])] == [
        "kills.service", "kills.batch", "kills.check", "kills.promote",
    ]  # fmt: skip
    assert [each.name for each in chosen(known, ["*.mutated"])] == ["files.mutated", "bundles.mutated"]
    with pytest.raises(ValueError, match="kils"):
        chosen(known, ["kils"])


def test_two_drills_cannot_have_one_name() -> None:
    all_drills()
    with pytest.raises(ValueError, match=r"kills\.batch"):
        drill("kills.batch", promise="", limit=1)(lambda bench: Outcome(""))


def test_a_drill_that_holds_leaves_its_figure_and_no_files(tmp_path: Path) -> None:
    result = run("holds", tmp_path, scale=0.5)
    assert result.held
    assert result.figure.startswith("500 of ")
    assert result.figure.endswith(", 50 s")
    assert result.scale == 0.5
    assert not (tmp_path / "toys.holds").exists()


def test_a_failed_drill_keeps_its_files_and_first_faults(tmp_path: Path) -> None:
    result = run("fails", tmp_path)
    assert (result.held, result.figure, len(result.faults)) == (False, "2 tried", 20)
    assert (tmp_path / "toys.fails" / "evidence").exists()


@pytest.mark.parametrize(
    ("name", "fault"), [("raises", "LookupError: no such thing"), ("dies", "ended with 7")]
)
def test_a_drill_without_an_outcome_has_failed(tmp_path: Path, name: str, fault: str) -> None:
    result = run(name, tmp_path)
    assert not result.held
    assert fault in result.faults[0]


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_a_drill_that_hangs_is_stopped_with_all_that_it_left(tmp_path: Path) -> None:
    result = run("hangs", tmp_path)
    assert not result.held
    assert "did not end within 2 s" in result.faults[0]
    folder = str(tmp_path / "toys.hangs")
    assert not [
        found for found in psutil.process_iter(["cmdline"]) if folder in (found.info["cmdline"] or [])
    ]


def test_results_of_other_drills_are_kept(tmp_path: Path) -> None:
    first = Result("a.one", "One.", "1", True, (), 1.0, 1.0, 0.0)
    keep([first, Result("a.two", "Two.", "2", True, (), 1.0, 1.0, 0.0)], tmp_path)
    keep([Result("a.two", "Two.", "3", False, ("lost",), 1.0, 0.1, 9.0)], tmp_path)
    found = kept(tmp_path)
    assert [(row.figure, row.held, row.faults) for row in found.values()] == [
        ("1", True, ()),
        ("3", False, ("lost",)),
    ]
    assert found["a.one"].machine
    assert "| Two. | `a.two` | 3 | FAILED |" in (tmp_path / "drills.md").read_text()


def test_the_command_exits_with_1_if_a_promise_did_not_hold(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command.main, ["toys.holds", "toys.fails", "--scale", "0.1"], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 1, done.output
    assert "FAILED: toys.fails" in done.output
    assert "2 tried" in done.output
    rows = json.loads((tmp_path / "var" / "drills" / "drills.json").read_text())["drills"]
    assert [(row["name"], row["held"], row["scale"]) for row in rows] == [
        ("toys.holds", True, 0.1),
        ("toys.fails", False, 0.1),
    ]


def test_the_command_runs_lists_and_refuses() -> None:
    runner = CliRunner()
    assert runner.invoke(command.main, ["toys.holds"]).exit_code == 0
    listed = runner.invoke(command.main, ["--list"])
    assert (listed.exit_code, listed.output.count("toys.")) == (0, len(TOYS))
    for arguments in (["toy.hold"], ["--scale", "0"]):
        assert runner.invoke(command.main, arguments).exit_code == 2


def test_the_page_has_every_promise_with_its_last_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "reliability.md"
    monkeypatch.setattr(command, "PAGE", target)
    keep([run("holds", tmp_path), run("fails", tmp_path)], tmp_path / "var" / "drills")
    assert CliRunner().invoke(command.main, ["--write-docs"]).exit_code == 0
    text = target.read_text(encoding="utf-8")
    rows = {
        line.split("`")[1]: line for line in text.splitlines() if line.startswith("| ") and "`toys" in line
    }
    assert set(rows) == {each.name for each in TOYS.values()}
    assert "A promise \\| with a bar." in rows["toys.holds"]
    assert rows["toys.holds"].endswith("| held |")
    assert "FAILED: the second was lost" in rows["toys.fails"]
    assert "not run yet" in rows["toys.dies"]
    assert "cores: toys.holds, toys.fails" in text


def test_the_page_in_docs_names_the_drills_that_there_are() -> None:
    text = (Path(command.__file__).parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
    for each in all_drills():
        assert f"| {each.promise.replace('|', '')} | `{each.name}` |" in text
    assert page([], {}).splitlines()[0] == text.splitlines()[0]
