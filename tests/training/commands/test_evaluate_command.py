"""The pictures and the conclusion of a run, and judging its model on other texts by commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests import golden_messages as messages
from tests.support.bundles import bbc_part, sealed_tfidf_bundle
from tests.training.conftest import Trained, environment
from training.commands.cli import main
from training.commands.evaluate import evaluate_model, load_texts
from training.data import Part
from training.errors import EvaluationRefused
from training.experiment.explain import explain
from training.experiment.loader import load_experiment

PNG = b"\x89PNG"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)


@pytest.mark.slow
def test_a_run_of_several_candidates_is_compared(first_run: Trained) -> None:
    report = first_run.outcome.report
    compared = {path.name for path in (report / "compared").iterdir()}
    assert compared == {
        "accuracy.png", "f1.png", "all_metrics.png", "radar.png", "accuracy_over_time.png",
    }  # fmt: skip
    assert all((report / "compared" / name).read_bytes().startswith(PNG) for name in compared)
    conclusion = (report / "conclusion.md").read_text(encoding="utf-8")
    by_name = {item.name: item for item in first_run.outcome.evaluated}
    winner = by_name["minilm_3"]
    assert messages.CHOICE_OF_VALIDATION in conclusion
    assert f"On {winner.test.texts} test texts" in conclusion
    assert str(winner.test.macro_f1) in conclusion
    for name, item in by_name.items():
        baseline = " (baseline)" if first_run.experiment.candidates[name].baseline else ""
        assert f"| {name}{baseline} | {item.test.macro_f1} |" in conclusion
        assert name == "minilm_3" or f"- **{name}** " in conclusion
    quality = max(by_name.values(), key=lambda item: item.test.macro_f1.value)
    choice = next(line for line in conclusion.splitlines() if line.startswith("- For quality alone"))
    assert f"**{quality.name}**" in choice
    assert messages.CHOICE_TITLE in first_run.printed


@pytest.mark.slow
def test_a_registered_version_is_judged_on_a_file(first_run: Trained, tmp_path: Path) -> None:
    texts, labels = bbc_part(40, step=50)
    file = tmp_path / "news.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    with environment(first_run.var):
        evaluated = invoke("evaluate", "champion", "--data", str(file), "--out", str(tmp_path / "out"))
        own = invoke(
            "evaluate",
            "1",
            "--experiment",
            "quickstart",
            "--set",
            "data.limit=120",
            "--out",
            str(tmp_path / "own"),
        )
        strange = tmp_path / "strange.csv"
        strange.write_text("text,label\nSome words,tea\nOther words,coffee\n", encoding="utf-8")
        refused = invoke("evaluate", "champion", "--data", str(strange))
        missing = invoke("evaluate", "nobody", "--data", str(file))
        nothing = invoke("evaluate", "champion", "--data", str(tmp_path / "none.csv"))
    assert evaluated.exit_code == 0, evaluated.output
    assert messages.EVALUATED_ON_SEEN_TEXTS in evaluated.stdout
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["texts"] == len(set(texts))
    assert found["macro_f1"]["low"] <= found["macro_f1"]["value"] <= found["macro_f1"]["high"]
    pictures = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert pictures == {"confusion_matrix.png", "class_f1.png", "metrics.png", "reliability.png"}
    # On its own test part it is as good as the run said.
    assert own.exit_code == 0
    assert messages.EVALUATED_ON_SEEN not in own.stdout
    again = json.loads((tmp_path / "own" / "evaluation.json").read_text())
    scores = next(item for item in first_run.outcome.evaluated if item.name == "minilm_3").test
    assert again["macro_f1"]["value"] == pytest.approx(scores.macro_f1.value)
    for failed, sentence in (
        (refused, "labels that the model does not know: coffee, tea"),
        (missing, "'nobody' names no model"),
        (nothing, "there is no file"),
    ):
        assert failed.exit_code == 2
        assert sentence in failed.stderr


def test_labels_that_do_not_fit_are_said(tmp_path: Path) -> None:
    classifier = sealed_tfidf_bundle(tmp_path / "bundle")
    texts, labels = bbc_part(20, step=50)
    upper = Part(texts, [label.upper() for label in labels])
    with pytest.raises(EvaluationRefused) as refusal:
        evaluate_model("m", classifier, upper, "upper.csv")
    assert f"{labels[0].upper()}: {labels[0]}" in str(refusal.value)
    with pytest.raises(EvaluationRefused, match=messages.LABEL_NAMES_OPTION):
        evaluate_model("m", classifier, Part(texts, ["0"] * len(texts)), "ids.csv")


def test_one_class_only_is_judged_and_said(tmp_path: Path) -> None:
    classifier = sealed_tfidf_bundle(tmp_path / "bundle")
    texts, labels = bbc_part(20, step=50)
    file = tmp_path / "one.csv"
    rows = [(text, label) for text, label in zip(texts, labels, strict=True) if label == labels[0]]
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *rows])
    part, source, remarks = load_texts(load_experiment("quickstart"), file, "test")
    found = evaluate_model("m", classifier, part, source, remarks)
    answers = [classifier.labels[index] for index in classifier.predict(part.texts).argmax(axis=1)]
    assert found.scores.accuracy.value == pytest.approx(answers.count(labels[0]) / len(part))
    assert any(messages.EVALUATED_LABEL_ABSENT in remark for remark in found.remarks)


def test_keys_are_explained_at_any_depth() -> None:
    top = {item.key: item for item in explain()}
    assert {"name", "data", "candidates", "gate", "smoke"} <= set(top)
    assert top["seed"].default == "42"
    (epochs,) = [item for item in explain("candidates.mine.epochs") if "network" in item.kinds]
    assert epochs.key == "candidates.NAME.epochs"
    assert messages.MEANING_OF_EPOCHS in epochs.meaning
    (share,) = explain("data.split.train_texts")
    assert messages.MEANING_OF_TRAIN in share.meaning
    assert any(item.key == "candidates.NAME.awp.epsilon" for item in explain("candidates.x.awp"))
    assert "Jaccard" in invoke("explain", "data.near_duplicate_similarity").stdout
    wrong = invoke("explain", "data.split.trian")
    assert (wrong.exit_code, messages.KEY_MISSPELT in wrong.stderr) == (2, True)
