"""Hub data sets: a folder that `datasets` loads, and a real download from a hub on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import golden_messages as messages
from tests.support.hub import hub
from training.data import DataConfig, NotOneValue, SourceNotFound, load_data

CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': world
          '1': sports
---
"""

SEQUENCE_CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    sequence:
      class_label:
        names:
          '0': world
          '1': sports
---
"""


def make_data_set(folder: Path) -> Path:
    """A data set of two splits, as a repository of the hub holds it."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    for split, start, count in (("train", 0, 30), ("test", 30, 10)):
        lines = [
            json.dumps({"text": f"News item {n} of the day", "label": n % 2})
            for n in range(start, start + count)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_local_folder_with_class_names(tmp_path: Path) -> None:
    folder = make_data_set(tmp_path / "news")
    loaded = load_data(DataConfig(source=str(folder)), 0, cache=tmp_path / "cache")
    assert loaded.counts.read == 40
    assert set(loaded.labels) == {"world", "sports"}
    assert loaded.part.source_rows[0].id == "test[0]"
    assert loaded.part.source_rows[-1] == (40, "train[29]", None)
    only_test = load_data(DataConfig(source=str(folder), hub_splits=("test",)), 0, cache=tmp_path / "cache")
    assert only_test.texts[0] == "News item 30 of the day"
    with pytest.raises(SourceNotFound, match=messages.SPLIT_MISSING):
        load_data(DataConfig(source=str(folder), hub_splits=("validation",)), 0, cache=tmp_path / "cache")


def test_several_labels_a_text_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "emotions"
    folder.mkdir()
    (folder / "README.md").write_text(SEQUENCE_CARD)
    rows = [{"text": f"Item {n}", "label": [n % 2] if n % 3 else [0, 1]} for n in range(12)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(NotOneValue, match=messages.ONE_LABEL_NEEDED) as refusal:
        load_data(DataConfig(source=str(folder)), 0, cache=tmp_path / "cache")
    assert (refusal.value.row, refusal.value.column) == (1, "label")


@pytest.mark.slow
def test_a_name_is_downloaded_from_the_hub_into_var(tmp_path: Path) -> None:
    make_data_set(tmp_path / "root" / "datasets" / "fancyzhx" / "ag_news")
    code = (
        "from training.data import *\n"
        "loaded = load_data(DataConfig(source='fancyzhx/ag_news', hub_splits=('train',)), 0)\n"
        "print(len(loaded), sorted(set(loaded.labels)))\n"
    )
    with hub(tmp_path / "root") as address:
        environment = {
            "HF_ENDPOINT": address,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "home"),
            "VAR_DIR": str(tmp_path / "var"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        result = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True
        )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip() == "30 ['sports', 'world']"
    assert any((tmp_path / "var" / "hub").rglob("*.arrow"))


def test_a_name_that_is_nothing_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceNotFound, match=messages.SOURCE_UNKNOWN):
        load_data(DataConfig(source="no-such/set"), 0, cache=tmp_path)
