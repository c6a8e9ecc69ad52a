"""`Part` on disk and its fingerprint; the package's public face."""

import inspect
from pathlib import Path

import pytest

import training.data
from training.data import DataConfig, Part, SplitConfig


def test_jsonl_keeps_every_character(tmp_path: Path) -> None:
    part = Part(
        ["plain", "two\nlines \u2028 and a tab\t", "\ud800 half a pair", "日本語 🎈"], ["a", "b", "a", "ü"]
    )
    path = part.write_jsonl(tmp_path / "new" / "part.jsonl")
    assert len(path.read_bytes().splitlines()) == 4
    again = Part.read_jsonl(path)
    assert (again.texts, again.labels) == (part.texts, part.labels)
    assert again.fingerprint == part.fingerprint


def test_fingerprint_tells_texts_labels_and_order_apart() -> None:
    parts = [
        Part(["a", "b"], ["x", "y"]),
        Part(["b", "a"], ["y", "x"]),
        Part(["a", "b"], ["y", "x"]),
        Part(["ab", ""], ["x", "y"]),
        Part([], []),
    ]
    assert len({part.fingerprint for part in parts}) == len(parts)
    assert Part(["a", "b"], ["x", "y"]).fingerprint == parts[0].fingerprint


def test_a_text_without_its_label_is_no_part() -> None:
    with pytest.raises(ValueError, match="2 texts, but 1 labels"):
        Part(["a", "b"], ["x"])


def test_public_names_exist() -> None:
    for name in training.data.__all__:
        assert getattr(training.data, name).__doc__, name


@pytest.mark.parametrize("config", [DataConfig, SplitConfig])
def test_every_field_is_documented(config: type) -> None:
    source = inspect.getsource(config)
    for name in config.model_fields:  # type: ignore[attr-defined]
        declaration = source[source.index(f"    {name}:") :]
        assert '    """' in declaration.split("\n\n")[0], name
