"""An environment of its own for a peer whose packages conflict with ours, made once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

_STAMP = "lock.sha256"
_QUIET = ("--quiet", "--disable-pip-version-check")


def make_environment(lock: Path, folder: Path) -> None:
    """Install what `lock` names, and our torch, into a virtual environment at `folder`.

    One that is there and was made from the same lock file stays as it is. Torch has our version: it is what the
    others compute with, too, and which build is right depends on the machine.

    Raises:
        subprocess.CalledProcessError: pip could not install it; it has said why.
    """
    torch = version("torch").partition("+")[0]
    wanted = hashlib.sha256(lock.read_bytes() + torch.encode()).hexdigest()
    stamp = folder / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(program(folder, "python")), "-m", "pip", "install", *_QUIET]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(lock)], check=True)
    subprocess.run([*pip, f"torch=={torch}"], check=True)
    stamp.write_text(wanted, encoding="utf-8")  # last: its presence says that all is there


def program(folder: Path, name: str) -> Path:
    """A program of the environment at `folder`."""
    return folder / "bin" / name
