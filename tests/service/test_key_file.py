"""The key file: what is written, what is read, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from service import key_file
from service.cli import main
from service.key_file import KeyFileError
from tests import golden_messages as messages

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
GOOD = {"name": "shop", "sha256": HASH, "scopes": ["classify"]}


def content(*keys: dict, **more: object) -> bytes:
    return json.dumps({"version": 1, "keys": list(keys), **more}).encode()


def run(*arguments: str, environment: dict[str, str] | None = None):
    return CliRunner().invoke(main, ["keys", *arguments], env={"API_KEYS_FILE": "", **(environment or {})})


def test_add_prints_the_key_once_and_keeps_its_hash(tmp_path):
    path = tmp_path / "secrets" / "keys.json"
    added = run("add", "shop", "--scope", "classify", "--scope", "feedback", "--file", str(path))
    assert added.exit_code == 0, added.output
    key = added.stdout.strip()
    assert re.fullmatch(r"champion_[A-Za-z0-9_-]{43}", key)
    text = path.read_text(encoding="utf-8")
    assert key not in text
    (record,) = json.loads(text)["keys"]
    assert record["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert (record["name"], record["scopes"]) == ("shop", ["classify", "feedback"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listed = run("list", environment={"API_KEYS_FILE": str(path)})
    assert listed.exit_code == 0
    assert "shop" in listed.stdout
    assert key not in listed.stdout
    assert record["sha256"] not in listed.stdout


def test_revoke_removes_one_key_and_leaves_the_others(tmp_path):
    path = tmp_path / "keys.json"
    for name in ("a", "b"):
        key_file.add(path, name, ["read"])
    path.chmod(0o640)
    assert run("revoke", "a", "--file", str(path)).exit_code == 0
    assert [key.name for key in key_file.read(path)] == ["b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, "the mode that its owner chose stays"
    assert run("revoke", "a", "--file", str(path)).exit_code == 1
    assert run("list").exit_code == 2, "without a file there is nothing to list"


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop", "--scope", "classify"),  # the name is taken
        ("env-1", "--scope", "classify"),
        ("a b", "--scope", "classify"),
        ("x" * 65, "--scope", "classify"),
        ("../up", "--scope", "classify"),
        ("new", "--scope", "everything"),
        ("new",),
        ("new", "--scope", "classify", "--texts-per-minute", "0"),
    ],
)
def test_a_key_that_may_not_be_made_leaves_the_file_as_it_was(tmp_path, arguments):
    path = tmp_path / "keys.json"
    path.write_bytes(content(GOOD))
    refused = run("add", *arguments, "--file", str(path))
    assert refused.exit_code in (1, 2)
    assert "champion_" not in refused.output
    assert path.read_bytes() == content(GOOD)


def test_a_broken_file_is_not_changed_by_commands(tmp_path):
    path = tmp_path / "keys.json"
    path.write_bytes(b'{"version": 1, "keys": [')
    for arguments in (("add", "new", "--scope", "read"), ("revoke", "shop"), ("list",)):
        assert run(*arguments, "--file", str(path)).exit_code == 1
    assert path.read_bytes() == b'{"version": 1, "keys": ['


def test_keys_that_are_added_at_once_are_all_kept(tmp_path):
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: key_file.add(path, f"key{n}", ["classify"]), range(24)))
    assert len(set(made)) == 24
    assert {key.name for key in key_file.read(path)} == {f"key{n}" for n in range(24)}


def test_a_file_never_grows_beyond_what_is_read(tmp_path):
    path = tmp_path / "keys.json"
    many = [{**GOOD, "name": f"key{n}", "sha256": f"{n:064x}"} for n in range(7000)]
    path.write_bytes(content(*many))
    assert len(path.read_bytes()) < 1024 * 1024
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="larger"):
        key_file.add(path, "one-more", ["read"])  # written with indents, it would be too large
    assert path.read_bytes() == before
    assert len(key_file.read(path)) == 7000


def test_a_symbolic_link_stays_one(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "keys.json"
    target.write_bytes(content(GOOD))
    link.symlink_to(target)
    key_file.add(link, "new", ["read"])
    assert link.is_symlink()
    assert [key.name for key in key_file.read(target)] == ["shop", "new"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "wrong"),
        (b'{"version": 1, "version": 1, "keys": []}', "twice"),
        (content(GOOD, version=2), "version"),
        (content(GOOD, more="x"), "more"),
        (content(GOOD, GOOD), "twice"),
        (content(GOOD, {**GOOD, "name": "other"}), "twice"),
        (content({**GOOD, "scopes": []}), r"keys\[0\].scopes"),
        (content({**GOOD, "scopes": ["all"]}), r"keys\[0\].scopes"),
        (content({**GOOD, "sha256": "champion_in_clear"}), r"keys\[0\].sha256"),
        (content({**GOOD, "name": "env-1"}), r"keys\[0\]"),
        (content({**GOOD, "requests_per_minute": 0}), r"keys\[0\].requests_per_minute"),
        (content({"name": "shop"}), r"keys\[0\].sha256"),
        (content({**GOOD, "key": "champion_in_clear"}), r"keys\[0\].key"),
    ],
)
def test_a_wrong_file_is_refused_without_quoting_it(wrong, says):
    with pytest.raises(KeyFileError, match=says) as refused:
        key_file.parse(wrong)
    assert "champion_in_clear" not in str(refused.value)
    assert HASH not in str(refused.value)


def test_what_is_no_plain_file_of_bounded_size_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match=messages.KEY_FILE_MISSING):
        key_file.read(tmp_path / "missing")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(KeyFileError, match="regular"):
        key_file.read(tmp_path / "fifo")
    with pytest.raises(KeyFileError):
        key_file.read(tmp_path)
    (tmp_path / "large").write_bytes(content(GOOD) + b" " * 1024 * 1024)
    with pytest.raises(KeyFileError, match="larger"):
        key_file.read(tmp_path / "large")
