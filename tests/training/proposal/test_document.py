"""The file that `new` writes: it is the plan, whatever the user's file holds."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

from tests.support.bundles import bbc_part
from training.data import DataConfig, split_data
from training.errors import DataError
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment
from training.proposal.command import experiment_text, name_of
from training.proposal.plan import Plan, Timing, make_plan
from training.proposal.profile import Profile, number_bins, read_profile

HOSTILE = ["C++: #1", "a, b", "{x}", "'quoted'", "null", "1\u20282", "é [bold]"]


def write(path: Path, header: list[str], rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(folder: Path, text: str) -> Experiment:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return load_experiment(str(path))


def made(path: Path, timing: Timing | None = None) -> tuple[Profile, Plan, str]:
    profile = read_profile(DataConfig(source=str(path)))
    plan = make_plan(profile.figures, timing)
    return profile, plan, experiment_text("own", Path("own.yaml"), profile, plan)


def test_the_file_holds_the_plan_whatever_the_names(tmp_path: Path) -> None:
    texts = bbc_part(0, 6)[0]
    rows = [(text[:200], HOSTILE[place % len(HOSTILE)]) for place, text in enumerate(texts)]
    path = write(tmp_path / "o'brien: #2 {x}.csv", ["the text: #", "what, is it?"], rows)
    profile, plan, text = made(path)
    experiment = read(tmp_path, text)
    assert (experiment.name, experiment.model_name, experiment.baselines_may_win) == ("own", "own", True)
    assert experiment.data.source == str(path)
    assert (experiment.data.text_column, experiment.data.label_column) == ("the text: #", "what, is it?")
    assert set(profile.figures.classes) == set(HOSTILE) - {"null"}
    assert experiment.data.split.shares() == {name: share for name, share in plan.split.items() if share}
    assert set(experiment.candidates) == {item.name for item in plan.candidates if not item.left_out}
    for item in plan.candidates:
        dumped = experiment.candidates[item.name].model_dump(mode="json")
        assert {key: dumped[key] for key in item.settings if key not in ("int8", "schedule")} == {
            key: value for key, value in item.settings.items() if key not in ("int8", "schedule")
        }


@pytest.mark.parametrize("rare", [3, 5, 11])
def test_every_class_of_the_plan_is_in_every_part(rare: int, tmp_path: Path) -> None:
    texts, labels = bbc_part(0, 3)
    rows = [(text[:300], label) for text, label in zip(texts, labels, strict=True)]
    rows += [(text[:200], "rare") for text in bbc_part(1, 100)[0][:rare]]
    rows += [(f"{' '.join(texts[0].split()[:60])} {number}", "copies") for number in range(8)]
    profile, plan, text = made(write(tmp_path / "a.csv", ["text", "label"], rows))
    splits = split_data(profile.loaded, read(tmp_path, text).data, 42)
    expected = set(profile.figures.classes) - set(plan.small_classes)
    for part in (splits.train, splits.validation, splits.test):
        assert set(part.labels) == expected
    assert plan.small_classes == ("copies",)


def test_a_commented_candidate_is_there_once_uncommented(tmp_path: Path) -> None:
    texts, labels = bbc_part(0, 3)
    rows = [(text[:300], label) for text, label in zip(texts, labels, strict=True)]
    _, plan, text = made(write(tmp_path / "a.csv", ["text", "label"], rows), Timing(embed=0.1, train=10))
    assert [item.name for item in plan.candidates if item.left_out] == ["minilm_3", "minilm"]
    assert "minilm" not in read(tmp_path, text).candidates
    whole = re.sub(r"(?m)^  # (?=  \w+:|minilm)", "  ", text)
    assert {"minilm_3", "minilm"} <= set(read(tmp_path, whole).candidates)


def test_faults_of_the_labels_are_choices_in_the_file(tmp_path: Path) -> None:
    texts = [text[:150] for text in bbc_part(0, 6)[0]]
    labels = ["spam", "Spam", "ham", "ham"]
    rows = [(text, labels[place % 4]) for place, text in enumerate(texts)]
    rows += [("something rare that has one text only", "rare")]
    rows += [(f"not labelled yet {place} {text}", "") for place, text in enumerate(texts * 2)]
    profile, plan, text = made(write(tmp_path / "a.csv", ["text", "label"], rows))
    assert plan.small_classes == ("rare",)
    experiment = read(tmp_path, text)
    assert experiment.data.small_classes == "drop"
    assert experiment.data.max_unlabelled == pytest.approx(0.7)
    assert not experiment.data.join_label_variants
    assert profile.variants
    joined = read(tmp_path, text.replace("# join_label_variants", "join_label_variants"))
    assert joined.data.join_label_variants


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([-3.0, -1, 0, 2, 4], ["negative", "neutral", "positive"]),
        (list(range(90)), ["low", "middle", "high"]),
    ],
)
def test_numbers_become_ranges(values: list[float], names: list[str]) -> None:
    bins = number_bins(values)
    assert list(bins) == names
    assert list(bins.values())[-1] is None


def test_numeric_labels_are_written_as_bins_to_look_at(tmp_path: Path) -> None:
    texts = [text[:150] for text in bbc_part(0, 6)[0]]
    rows = [(text, str(place / 10)) for place, text in enumerate(texts)]
    path = write(tmp_path / "a.csv", ["text", "label"], rows)
    profile, _, text = made(path)
    assert set(profile.figures.classes) == {"low", "middle", "high"}
    assert read(tmp_path, text).data.label_bins == profile.data.label_bins


@pytest.mark.parametrize("label", ["only", "2024-01-{:02d}"])
def test_one_class_and_dates_are_refused(label: str, tmp_path: Path) -> None:
    rows = [(text[:150], label.format(place % 28 + 1)) for place, text in enumerate(bbc_part(0, 6)[0])]
    with pytest.raises(DataError):
        read_profile(DataConfig(source=str(write(tmp_path / "a.csv", ["text", "label"], rows))))


def test_a_file_of_another_encoding_is_read_as_guessed(tmp_path: Path) -> None:
    rows = [f"Die Größe {place} passt nicht;{['Rückgabe', 'Versand'][place % 2]}" for place in range(60)]
    path = tmp_path / "excel.csv"
    path.write_text("\n".join(["Anliegen;Straße", *rows]), encoding="cp1252")
    profile, _, text = made(path)
    assert set(profile.figures.classes) == {"Rückgabe", "Versand"}
    assert any("cp1252" in note for note in profile.notes)
    assert read(tmp_path, text).data.encoding == "cp1252"
    with pytest.raises(DataError):
        read_profile(DataConfig(source=str(path), encoding="utf-8"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tickets.csv", "tickets"), ("tickets.2024-01.csv.gz", "tickets_2024_01"), ("o'brien (2).tsv", "o_brien_2"),
        ("Über Größe.csv", "Uber_Groe"), ("文本.csv", "own_texts"), ("SMSSpamCollection", "SMSSpamCollection"),
        ("a/b:c.jsonl", "a_b_c"),
    ],
)  # fmt: skip
def test_the_model_is_called_after_the_file(file: str, name: str) -> None:
    assert name_of(file) == name
    assert yaml.safe_load(f"name: {name}")["name"] == name
