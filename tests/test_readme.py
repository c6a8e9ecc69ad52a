"""The README tells the truth: its settings, its make targets, its links, its commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitoring.drift.signal import signal_settings
from monitoring.settings import MonitoringSettings, RetentionSettings
from service.settings import ServiceSettings
from stores.settings import (
    ClusterSettings,
    PredictionSettings,
    Settings,
    SigningSettings,
    TrackingSettings,
    TrafficSettings,
    VarSettings,
)
from training.settings import TrainingSettings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONCERNS: tuple[type[Settings], ...] = (
    VarSettings,
    TrackingSettings,
    SigningSettings,
    PredictionSettings,
    TrafficSettings,
    ClusterSettings,
    ServiceSettings,
    MonitoringSettings,
    *signal_settings(),
    RetentionSettings,
    TrainingSettings,
)
PAGES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]


def settings_table() -> list[str]:
    """The rows of docs/settings.md: every field of every settings class with its docstring."""
    rows = []
    for concern in CONCERNS:
        for name in concern.__annotations__:
            if (field := concern.model_fields.get(name)) is not None:
                default = "unset" if field.default is None else f"`{field.default}`"
                meaning = " ".join(str(field.description).split())
                rows.append(f"| `{name.upper()}` | {default} | {meaning} |")
    return rows


def test_the_settings_table_is_complete() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    found = [line for line in page.splitlines() if re.match(r"\| `[A-Z0-9_]+` \|", line)]
    assert found == settings_table(), "replace the table's rows by:\n" + "\n".join(settings_table())


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)", README))
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_command_of_the_readme_is_there() -> None:
    commands: dict[str, set[str]] = {}
    for module, subcommand in re.findall(r"python -m ([a-z.]+)(?: ([a-z]+))?", README):
        commands.setdefault(module, set()).update({subcommand} - {""} if module in _GROUPS else ())
    assert "run" in commands["training"]
    for module, subcommands in commands.items():
        arguments = [sys.executable, "-m", module, "--help"]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{module}: {done.stderr}"
        offered = set(re.findall(r"^  ([a-z-]+)  ", done.stdout, flags=re.MULTILINE))
        assert subcommands <= offered, f"{module} offers {offered}"


_GROUPS = {"training", "monitoring"}
