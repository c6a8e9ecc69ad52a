"""`Part` on disk and its fingerprint; the package's public face."""

import inspect
from pathlib import Path

import pytest

import training.data
from tests import golden_messages as messages
from training.data import ColumnNotFound, DataConfig, Part, SourceRow, SplitConfig, load_data, split_data


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
    with pytest.raises(ValueError, match=messages.LABELS_MISCOUNTED):
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


def test_source_rows_do_not_change_a_parts_fingerprint(tmp_path: Path) -> None:
    rows = [SourceRow(7, "T-7"), SourceRow(9, "T-9", "b, before cleaning")]
    part = Part(["a", "b"], ["x", "y"], source_rows=rows)
    unknown = Part(["a", "b"], ["x", "y"])
    assert part.fingerprint == unknown.fingerprint
    assert part == unknown
    assert part.write_jsonl(tmp_path / "a").read_bytes() == unknown.write_jsonl(tmp_path / "b").read_bytes()
    assert part.rows([1]).source_rows == rows[1:]
    assert (part + unknown).source_rows == [*rows, SourceRow(), SourceRow()]
    assert part.originals == ["a", "b, before cleaning"]
    with pytest.raises(ValueError, match=messages.ROWS_MISCOUNTED):
        Part(["a", "b"], ["x", "y"], source_rows=rows[1:])


def test_rows_and_ids_reach_every_part(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    lines = [
        f"T-{n:03},text number {n * 7 % 97} of {n * 13 % 89},{'a' if n % 2 else 'b'}" for n in range(1, 81)
    ]
    path.write_text("ticket_id,text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    config = DataConfig(source=str(path))
    splits = split_data(load_data(config, 1), config, 1)
    for part in splits.parts().values():
        assert len(part)
        for text, row in zip(part.texts, part.source_rows, strict=True):
            number = row.number
            assert row.id == f"T-{number:03}"
            assert text == f"text number {number * 7 % 97} of {number * 13 % 89}"
    other = load_data(config.model_copy(update={"id_column": "label"}), 1)
    assert other.part.source_rows[0].id == "a"
    with pytest.raises(ColumnNotFound, match=messages.NUMBER_COLUMN_MISSING):
        load_data(config.model_copy(update={"id_column": "number"}), 1)
