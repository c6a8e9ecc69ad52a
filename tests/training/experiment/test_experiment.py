from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from tests import golden_messages as messages
from training.config.network import NetworkConfig
from training.config.search import PrunerConfig, SearchConfig
from training.config.tfidf import LogregConfig
from training.errors import ExperimentInvalid
from training.experiment.explain import experiment_schema
from training.experiment.loader import experiment_files, load_experiment
from training.experiment.schema import Experiment

ROOT = Path(__file__).parents[3]


def test_every_packaged_experiment_is_valid_and_described() -> None:
    files = experiment_files()
    assert "quickstart" in {file.stem for file in files}
    for file in files:
        experiment = load_experiment(file.stem)
        assert experiment.name == file.stem
        assert experiment.description


def test_the_quickstart_serves_a_cascade_or_its_network() -> None:
    experiment = load_experiment("quickstart")
    assert [name for name in experiment.candidates if experiment.may_win(name)] == ["minilm_3", "cascade"]
    assert experiment.data.split.holdout > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=1", "sed: unknown key; did you mean 'seed'?"),
        ("data.text_colum=body", "data.text_colum: unknown key; did you mean 'text_column'?"),
        ("data.split.trian=0.5", "data.split.trian: unknown key; did you mean 'train'?"),
        ("gate.confidnce=0.9", "gate.confidnce: unknown key; did you mean 'confidence'?"),
        ("candidates.minilm_3.epoch=1", "candidates.minilm_3.epoch: unknown key; did you mean 'epochs'?"),
        (
            "candidates.minilm_3.awp={epsilom: 1}",
            "candidates.minilm_3.awp.epsilom: unknown key; did you mean 'epsilon'?",
        ),
        ("candidates.minilm_3.zzzzzz=1", "known here: accumulation, awp, baseline"),
        (
            "candidates.minilm_3.epochs=-1",
            "candidates.minilm_3.epochs: Input should be greater than 0 (got -1)",
        ),
        ("candidates.minilm_3.layers=0", "keep at least one layer, not 0"),
        ("candidates.minilm_3.layers=[2,1]", "name layers from 0, rising, each once, not [2, 1]"),
        (
            "candidates.minilm_3.kind=netwrk",
            "candidates.minilm_3.kind: unknown kind 'netwrk'; did you mean 'network'?",
        ),
        (
            "candidates.minilm_4.epochs=1",
            "candidates.minilm_4: has no kind; did you mean 'minilm_3'? A new one needs",
        ),
        ("candidates.minilm_4=null", "no such candidate to leave out; did you mean 'minilm_3'?"),
        ("candidates.a/b={kind: tfidf_logreg}", "letters, digits"),
        ("epochs", "is not key=value"),
        ("seed.more=1", "'seed' holds a value"),
        ("data.split.train=0.9", "must not exceed 1"),
    ],
)
def test_a_wrong_key_or_value_is_named(override: str, message: str) -> None:
    with pytest.raises(ExperimentInvalid) as error:
        load_experiment("quickstart", [override])
    assert message in str(error.value)


def test_an_unknown_experiment_is_answered_with_the_nearest() -> None:
    with pytest.raises(ExperimentInvalid, match=messages.EXPERIMENT_MISSPELT):
        load_experiment("quikstart")


def test_overrides_are_yaml_and_reach_every_depth() -> None:
    experiment = load_experiment(
        "quickstart",
        [
            "seed=7",
            "candidates.minilm_3.layers=[0, 2]",
            "candidates.minilm_3.learning_rate=1e-5",
            "candidates.tfidf_catboost=null",
            "candidates.bert.kind=network",
            "candidates.bert.weights=prajjwal1/bert-mini",
            "data.label_names={1: world}",
        ],
    )
    minilm, bert = experiment.candidates["minilm_3"], experiment.candidates["bert"]
    assert isinstance(minilm, NetworkConfig)
    assert isinstance(bert, NetworkConfig)
    assert experiment.seed == 7
    assert minilm.layers == (0, 2)
    assert minilm.learning_rate == 1e-5
    assert bert.weights == "prajjwal1/bert-mini"
    assert "tfidf_catboost" not in experiment.candidates
    assert experiment.data.label_names == {"1": "world"}


def test_the_resolved_file_says_the_same(tmp_path: Path) -> None:
    experiment = load_experiment("quickstart", ["seed=3", "candidates.minilm_3.layers=[0, 5]"])
    path = tmp_path / "resolved.yaml"
    path.write_text(experiment.as_yaml(), encoding="utf-8")
    assert load_experiment(str(path)) == experiment
    assert yaml.safe_load(experiment.as_yaml())["gate"]["confidence"] == 0.95


def test_a_file_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "tickets.yaml"
    path.write_text("candidates: {logreg: {kind: tfidf_logreg}}\n", encoding="utf-8")
    assert load_experiment(str(path)).name == "tickets"
    path.write_text("- a list\n", encoding="utf-8")
    with pytest.raises(ExperimentInvalid, match=messages.EXPERIMENT_NOT_A_MAPPING):
        load_experiment(str(path))
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ExperimentInvalid, match=messages.EXPERIMENT_NOT_YAML):
        load_experiment(str(path))


def _sections(annotation: Any) -> set[type[BaseModel]]:
    """The sections that stand in an annotation, and those that stand in them."""
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return {found for part in get_args(annotation) for found in _sections(part)}
    inner = (_sections(field.annotation) for field in annotation.model_fields.values())
    return {annotation}.union(*inner)


def test_every_field_is_documented() -> None:
    sections = _sections(Experiment)
    assert {LogregConfig, SearchConfig, PrunerConfig} < sections
    for section in sections:
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name} has no docstring"


def test_the_published_schema_is_current_and_takes_each_file() -> None:
    published = (ROOT / "training" / "experiment.schema.json").read_text(encoding="utf-8")
    assert published == experiment_schema(), (
        "run: python -m training schema > training/experiment.schema.json"
    )
    validator = Draft202012Validator(json.loads(published))
    for path in (ROOT / "training" / "experiments").glob("*.yaml"):
        assert list(validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))) == []
    wrong = {"name": "x", "candidates": {"a": {"kind": "network", "epochz": 3}}}
    assert list(validator.iter_errors(wrong))


def test_a_candidate_of_an_override_can_be_left_out_again() -> None:
    overrides = ["candidates.more={kind: tfidf_logreg}", "candidates.more=null"]
    assert load_experiment("quickstart", overrides) == load_experiment("quickstart")
