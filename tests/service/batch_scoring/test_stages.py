"""Batch scoring with a cascade says which stage answered each row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from service.batch_scoring.job import Job, run_job
from service.batch_scoring.model import ScoringModel
from service.batch_scoring.tables import ReadOptions
from tests.support.cascades import EARLY, FIRST, LAST, LATE, sealed_cascade


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> ScoringModel:
    return ScoringModel(sealed_cascade(tmp_path_factory.mktemp("cascades") / "news"), "news", "7")


def test_each_row_names_its_stage(tmp_path: Path, cascade: ScoringModel) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    texts = [EARLY, "", LATE]
    source.write_text(
        "id,text\n" + "".join(f'{number},"{text}"\n' for number, text in enumerate(texts)), encoding="utf-8"
    )
    run_job(Job(source, target, ReadOptions(chunk_rows=2), scores=True, prefix="model_"), cascade)
    with target.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["model_stage"] for row in rows] == [FIRST, "", LAST]
    expected = cascade.classifier.predict([EARLY, LATE])
    for row, probabilities in zip((rows[0], rows[2]), expected, strict=True):
        for label, probability in zip(cascade.classifier.labels, probabilities, strict=True):
            assert float(row[f"model_p_{label}"]) == pytest.approx(float(probability), abs=1e-6)


def test_json_lines_have_the_stage_without_scores(tmp_path: Path, cascade: ScoringModel) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in (LATE, EARLY)), encoding="utf-8")
    run_job(Job(source, target), cascade)
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row["stage"] for row in rows] == [LAST, FIRST]


def test_other_models_add_no_stage(tmp_path: Path, model: ScoringModel) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": EARLY}) + "\n", encoding="utf-8")
    run_job(Job(source, target), model)
    assert "stage" not in json.loads(target.read_text(encoding="utf-8"))
