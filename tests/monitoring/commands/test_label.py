"""The label command: a file is taken whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitoring.cli import main
from stores.predictions import PredictionStore
from stores.settings import PredictionSettings
from tests.support.predictions import prediction


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PredictionStore]:
    """The store that the command opens, with three predictions: business or tech is what their model knows."""
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    opened = PredictionStore.open(PredictionSettings().url)
    opened.add([prediction(id=f"{number:032x}", created_at=float(number)) for number in (1, 2, 3)])
    yield opened
    opened.close()


def label(path: Path, content: str, *options: str, encoding: str = "utf-8") -> Result:
    path.write_text(content, encoding=encoding)
    return CliRunner().invoke(main, ["label", str(path), *options])


def known(store: PredictionStore) -> list[str | None]:
    return [row.true_label for row in reversed(store.window(0, 10))]


def id_of(number: int) -> str:
    return f"{number:032x}"


def test_labels_are_taken_and_replaced(store: PredictionStore, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    result = label(file, f'prediction_id,note,label\n{id_of(1)},"a, b",tech\n\n{id_of(2)},, business \n')
    assert result.exit_code == 0, result.output
    assert "2 predictions have the labels" in result.output
    assert known(store) == ["tech", "business", None]
    label(file, f"prediction_id,label\n{id_of(1)},business\n")
    assert [name for name, _ in store.feedback_history(id_of(1))] == ["tech", "business"]


def test_as_spreadsheets_save_them(store: PredictionStore, tmp_path: Path) -> None:
    content = f"Id;Truth\r\n{id_of(3)};tech\r\n;\r\n"
    options = ("--id-column", "Id", "--label-column", "Truth")
    assert label(tmp_path / "l.csv", content, *options, encoding="utf-8-sig").exit_code == 0
    assert known(store) == [None, None, "tech"]


def test_every_wrong_row_is_named_and_nothing_is_written(store: PredictionStore, tmp_path: Path) -> None:
    rows = [f"{id_of(1)},tech", f"{id_of(9)},tech", f"{id_of(2)},techh", f"{id_of(3)},sports", "\x00,tech"]
    result = label(tmp_path / "l.csv", "prediction_id,label\n" + "\n".join(rows))
    assert result.exit_code == 2
    assert f"row 3: no prediction has the id '{id_of(9)}'" in result.stderr
    assert "row 4: the model does not know the label 'techh'; did you mean 'tech'?" in result.stderr
    assert "row 5: the model does not know the label 'sports'; it knows business, tech" in result.stderr
    assert "row 6: no prediction has the id" in result.stderr
    assert "row 2" not in result.stderr
    assert known(store) == [None, None, None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            f"prediction_id,label\n{id_of(1)},tech\n{id_of(1)},tech\n",
            f"row 3: {id_of(1)} is in row 2 already",
        ),
        (f"prediction_id,label\n{id_of(1)},tech\n,tech\n", "row 3: no id"),
        (f"prediction_id,label\n{id_of(1)},tech\n{id_of(2)},\n", "no label in row 3"),
        (f"id,label\n{id_of(1)},tech\n", "has no column 'prediction_id'; it has 'id', 'label'"),
        ("", "is empty"),
        ("prediction_id,label\n", "holds no label"),
        ('prediction_id,label\n"open', "a quote is opened and not closed"),
        (f"prediction_id,text,label\n{id_of(1)},shares fell, then rose,tech\n", "row 2: row has 4 fields"),
        (f"prediction_id,label,label\n{id_of(1)},tech,business\n", "2 columns called 'label'"),
        (f"prediction_id,label\n{id_of(1)},tech\n{id_of(1)},business\n", "already, with the label 'tech'"),
    ],
)
def test_a_file_that_cannot_be_taken(store: PredictionStore, tmp_path: Path, content: str, said: str) -> None:
    result = label(tmp_path / "labels.csv", content)
    assert result.exit_code == 2
    assert said in result.stderr
    assert known(store) == [None, None, None]


def test_another_encoding_is_told(store: PredictionStore, tmp_path: Path) -> None:
    result = label(tmp_path / "l.csv", f"prediction_id,label\n{id_of(1)},ökonomie\n", encoding="latin-1")
    assert result.exit_code == 2
    assert "row 2: not utf-8: probably cp1252, see --encoding cp1252" in result.stderr
    assert known(store) == [None, None, None]
    again = label(tmp_path / "l.csv", f"prediction_id,label\n{id_of(1)},ökonomie\n", "--encoding", "cp1252",
                  "--new-labels", encoding="cp1252")  # fmt: skip
    assert again.exit_code == 0, again.output
    assert known(store) == ["ökonomie", None, None]


def test_labels_the_model_lacks_are_taken_where_they_are_meant(
    store: PredictionStore, tmp_path: Path
) -> None:
    content = f"prediction_id,label\n{id_of(1)},sports\n"
    refused = label(tmp_path / "l.csv", content)
    assert "--new-labels" in refused.stderr
    assert label(tmp_path / "l.csv", content, "--new-labels").exit_code == 0
    assert known(store) == ["sports", None, None]


def test_many_wrong_rows_are_not_all_told(store: PredictionStore, tmp_path: Path) -> None:
    rows = "".join(f"{id_of(number)},tech\n" for number in range(100, 150))
    result = label(tmp_path / "l.csv", "prediction_id,label\n" + rows)
    assert result.stderr.count("no prediction has the id") == 20
    assert "and 30 more" in result.stderr


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (f"Prediction_ID, Label\r\n{id_of(10)},tech\r\n", "utf-8"),
        (f"prediction_id\tlabel\r\n{id_of(10)}\ttech\r\n", "utf-16"),
        (f"sep=;\r\nprediction_id;label\r\n{id_of(10)};tech\r\n;\r\n", "cp1252"),
        (f"prediction_id,label\r{id_of(10)},tech\r", "utf-8-sig"),
        (f'prediction_id,text,label\n{id_of(10)},"a, b; c ""x""\nsecond line",tech\n', "utf-8"),
        (f"prediction_id,label\n {id_of(10).upper()} , tech \n", "utf-8"),
    ],
)
def test_files_as_spreadsheets_write_them(
    store: PredictionStore, tmp_path: Path, content: str, encoding: str
) -> None:
    store.add([prediction(id=id_of(10), created_at=9.0)])
    file = tmp_path / "labels.csv"
    file.write_bytes(content.encode(encoding))
    result = CliRunner().invoke(main, ["label", str(file)])
    assert result.exit_code == 0, result.output
    assert known(store)[-1] == "tech"


def test_json_lines_are_taken_too(store: PredictionStore, tmp_path: Path) -> None:
    content = f'{{"prediction_id": "{id_of(1)}", "label": "tech"}}\n\n'
    assert label(tmp_path / "l.jsonl", content).exit_code == 0
    wrong = label(tmp_path / "m.jsonl", content + f'{{"prediction_id": "{id_of(2)}", "label": ["tech"]}}\n')
    assert "row 2 (line 3): a list or an object" in wrong.stderr
    assert known(store) == ["tech", None, None]
