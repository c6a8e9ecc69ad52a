"""A small server that speaks as much of the Hugging Face hub's protocol as its clients need to load from it.

It serves folders as repositories: `root/models/<owner>/<name>/…` and `root/datasets/<owner>/<name>/…`. Clients find
it by HF_ENDPOINT, which huggingface_hub reads when it is imported: set it for a subprocess.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.loopback import Quiet, loopback

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(Quiet):
    protocol_version = "HTTP/1.1"
    root: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        form = self.body().decode()
        wanted = json.loads(form)["paths"] if form.startswith("{") else parse_qs(form).get("paths", [])
        kind, repository, rest = self._repository(urlsplit(self.path).path.removeprefix("/api"))
        folder = self.root / kind / repository
        if rest.startswith("paths-info/") and folder.is_dir():
            self._json([entry for entry in _entries(folder) if entry["path"] in wanted])
        else:
            self._missing("RepoNotFound")

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        api = path.startswith("/api/")
        kind, repository, rest = self._repository(path.removeprefix("/api"))
        folder = self.root / kind / repository
        if not folder.is_dir():
            self._missing("RepoNotFound")
        elif api and rest.startswith("tree/"):
            whole = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            place = folder.joinpath(*rest.split("/")[2:])
            self._json(
                [entry for entry in _entries(folder) if _stands_in(place, folder / entry["path"], whole)]
            )
        elif api:
            self._json(
                {
                    "_id": "0",
                    "id": repository,
                    "sha": COMMIT,
                    "private": False,
                    "gated": False,
                    "disabled": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "siblings": [
                        {"rfilename": entry["path"]} for entry in _entries(folder) if entry["type"] == "file"
                    ],
                }
            )
        else:
            self._file(folder / rest.split("/", 2)[2] if rest.startswith("resolve/") else folder, body=body)

    @staticmethod
    def _repository(path: str) -> tuple[str, str, str]:
        parts = path.strip("/").split("/")
        kind = parts.pop(0) if parts[0] in ("models", "datasets") else "models"
        return kind, "/".join(parts[:2]), "/".join(parts[2:])

    def _file(self, path: Path, *, body: bool) -> None:
        if not path.is_file():
            self._missing("EntryNotFound")
            return
        content = path.read_bytes()
        start, status = 0, 200
        if (asked := self.headers.get("Range", "")).startswith("bytes="):
            start, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content[start:])

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        self.wfile.write(content)

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entries(folder: Path) -> list[dict[str, Any]]:
    """Every file and folder of a repository, as the hub lists them."""
    return [
        {
            "type": "file" if path.is_file() else "directory",
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size if path.is_file() else 0,
            "oid": hashlib.sha1(path.read_bytes() if path.is_file() else b"").hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
    ]


def _stands_in(place: Path, path: Path, whole: bool) -> bool:
    return place in path.parents if whole else path.parent == place


@contextmanager
def hub(root: Path) -> Iterator[str]:
    """Serve the repositories under `root` on a free loopback port; yields the address for HF_ENDPOINT."""
    with loopback(type("Hub", (_Hub,), {"root": root})) as address:
        yield address
