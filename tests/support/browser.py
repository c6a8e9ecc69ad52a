"""A real browser for the tests of pages; `python -m tests.support.browser` installs one where there is none.

Looked for in this order: the one at CHROMIUM, one on the PATH, Playwright's own. Where none is found, Playwright's is
downloaded, or else the system's package manager installs Chromium, which needs root or sudo without a password.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Playwright, sync_playwright

_ARGUMENTS = [
    "--no-sandbox",  # tests may run as root, in a container
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_NAMES = ("chromium", "google-chrome", "chromium-browser")
_PLAYWRIGHTS = (sys.executable, "-m", "playwright", "install", "--only-shell", "chromium")
_PACKAGE_MANAGERS = {
    "apt-get": [
        ("apt-get", "update", "-qq"),
        ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"),
    ],
    "dnf": [("dnf", "install", "-y", "-q", "chromium-headless", "dejavu-sans-fonts")],
    "apk": [("apk", "add", "-q", "chromium", "font-dejavu")],
    "brew": [("brew", "install", "--quiet", "chromium")],
}
_SECONDS = 600


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        installed, executable = _found(playwright)
        assert installed, "the tests of the pages need Chromium: python -m tests.support.browser installs it"
        browser = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield browser
        browser.close()


def _found(playwright: Playwright) -> tuple[bool, str | None]:
    """Whether there is a browser, and its path; None is Playwright's own."""
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if executable:
        return True, executable
    try:
        playwright.chromium.launch(args=_ARGUMENTS).close()  # its libraries may be missing
    except Exception:
        return False, None
    return True, None


def _is_there() -> bool:
    with sync_playwright() as playwright:
        return _found(playwright)[0]


def _run(command: tuple[str, ...]) -> bool:
    try:
        return subprocess.run(command, timeout=_SECONDS, stdout=sys.stderr, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def install() -> bool:
    """Install a browser where there is none; whether there is one now."""
    if _is_there():
        return True
    if _run(_PLAYWRIGHTS) and _is_there():
        return True
    for name, commands in _PACKAGE_MANAGERS.items():
        if shutil.which(name):
            root = () if name == "brew" or os.geteuid() == 0 else ("sudo", "-n")
            return all(_run((*root, *command)) for command in commands) and _is_there()
    return False


if __name__ == "__main__":
    if not install():
        sys.exit(
            "no browser for the tests of the pages: install Chromium and put it on the PATH, or name it in CHROMIUM"
        )
