"""The console command `champion`."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from console.__main__ import COMMANDS, main


def test_help_lists_every_command_and_imports_no_package():
    code = (
        "import sys\nfrom console.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('loaded', {'training', 'service', 'monitoring', 'demo'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded set()"
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_the_one_of_its_package(name):
    found = COMMANDS[name].command()
    assert isinstance(found, click.Command)
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0
    assert f"champion {name} " in done.output


def test_completion_offers_commands_and_their_options():
    def completed(words: str, at: int) -> set[str]:
        variables = {"_CHAMPION_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        done = CliRunner(env=variables).invoke(main, [], prog_name="champion")
        return set(done.output.split())

    assert completed("champion mon", 1) == {"plain,monitor"}
    assert completed("champion label --id", 2) == {"plain,--id-column"}


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


def test_exit_statuses_are_those_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "console", "monitor", "check", "--window", "never"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "never" in done.stderr
