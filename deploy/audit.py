"""Describes what is in an image: an SBOM, and the security advisories on it.

    python deploy/audit.py sbom requirements/service.lock --out var/image/service.cdx.json
    python deploy/audit.py advisories requirements/service.lock --out var/image/service.audit.json

Both read the lock file that the image is installed from, less the packages whose markers leave them out of it, and
those that the Dockerfile removes again. Packages of the base image's operating system are not in it. `deploy/image
build` runs both, in an environment with requirements/audit.lock.

The report of `advisories` has a `status`: `audited`; `partly audited`, where the advisory service does not know some
packages; or `not audited`, where it told nothing, with the `reason`. `dependencies` is pip-audit's own list.

Exit status of `advisories`: 0 none is known, 1 some are, 3 not or partly audited and none is known.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": platform.machine(),
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.9",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""The environment of the images, by which markers are judged."""
REMOVED = frozenset({"pip", "setuptools"})
"""What the Dockerfile of the service uninstalls after the installation."""
FOUND, UNKNOWN = 1, 3
_ANSWER_SECONDS = 15
_AUDIT_SECONDS = 300
_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$")


def installed(lock: str) -> str:
    """The entries of a lock file that the image installs, with their hashes and without their markers.

    Raises:
        ValueError: an entry is not `name==version`.
    """
    kept: list[str] = []
    for entry in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        lines = [line for line in entry.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if not lines:
            continue
        match = _ENTRY.match(lines[0])
        if match is None:
            raise ValueError(f"no pinned requirement: {lines[0]}")
        name, version, marker = match.groups()
        if name.lower() in REMOVED or (marker and not Marker(marker).evaluate(dict(IMAGE))):
            continue
        hashes = lines[1:]
        kept.append("\n".join([f"{name}=={version}" + (" \\" if hashes else ""), *hashes]))
    return "\n".join(kept) + "\n"


def sbom(requirements: Path, out: Path) -> int:
    """Write a CycloneDX 1.6 SBOM of the project with these packages; asks no network."""
    command = ["cyclonedx-py", "requirements", "--pyproject", str(ROOT / "pyproject.toml"), "--sv", "1.6"]
    command += ["--output-reproducible", "--of", "JSON", "-o", str(out), str(requirements)]
    # It warns that a lock file does not say which package needs which.
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=True, env=quiet)
    parts = json.loads(out.read_text(encoding="utf-8"))["components"]
    print(f"{out}: {len(parts)} packages", file=sys.stderr)
    return 0


def advisories(requirements: Path, out: Path) -> int:
    """Write what pip-audit finds; a report that says "not audited" where it finds out nothing."""
    # So that an earlier report does not outlive a run that is killed.
    out.unlink(missing_ok=True)
    answer = requirements.with_suffix(".answer.json")
    command = [Path(sys.executable).with_name("pip-audit"), "--requirement", requirements, "--require-hashes"]
    command += ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--timeout", str(_ANSWER_SECONDS)]
    command += ["--format", "json", "--output", answer]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_AUDIT_SECONDS)
        said = (run.stderr.strip().splitlines() or ["pip-audit wrote no report"])[-1]
    except subprocess.TimeoutExpired:
        said = f"the advisory service did not answer within {_AUDIT_SECONDS} s"
    found = _dependencies(answer)
    skipped = [each["name"] for each in found if "skip_reason" in each]
    audited = len(found) - len(skipped)
    if not audited:
        if found:
            said = f"the advisory service knows none of {len(found)} packages: {found[0]['skip_reason']}"
        return not_audited(out, said)
    known = [
        f"{each['name']} {each['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no release'}"
        for each in found
        for vulnerability in each.get("vulns", ())
    ]
    _write(out, {"status": "partly audited" if skipped else "audited", "dependencies": found})
    print(f"{out}: {audited} packages audited, {len(known)} advisories", file=sys.stderr)
    for line in known:
        print(f"  {line}", file=sys.stderr)
    if skipped:
        shown = ", ".join(skipped[:5]) + (", …" if len(skipped) > 5 else "")
        print(
            f"PARTLY AUDITED: the advisory service does not know {len(skipped)} packages: {shown}",
            file=sys.stderr,
        )
    if known:
        return FOUND
    return UNKNOWN if skipped else 0


def not_audited(out: Path, reason: str) -> int:
    """Write a report that says so, and say it."""
    _write(out, {"status": "not audited", "reason": reason[:300], "dependencies": []})
    print(f"{out}: NOT AUDITED, whether advisories exist is unknown: {reason[:300]}", file=sys.stderr)
    return UNKNOWN


def _write(out: Path, report: dict[str, Any]) -> None:
    parts = out.with_suffix(".parts")
    parts.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    parts.replace(out)


def _dependencies(answer: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(answer.read_text(encoding="utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError):
        return []
    return found


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("sbom", "advisories"))
    parser.add_argument("lock", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / given.lock.with_suffix(".txt").name
        requirements.write_text(installed(given.lock.read_text(encoding="utf-8")), encoding="utf-8")
        run = sbom if given.command == "sbom" else advisories
        sys.exit(run(requirements, given.out))


if __name__ == "__main__":
    main()
