"""What "the same training" is, for runs that are resumed, for searches and for seed comparisons alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.progress import Progress

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.training.conftest import environment
from training.data import Splits, load_data, split_data
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment
from training.models import fingerprint
from training.runs.resume import run_folder, training_context
from training.search.study import study_name

TEXTS = ("data.limit=60", "search={candidate: minilm_3, space: {learning_rate: {low: 0.00001, high: 0.001}}}")
SAME = (
    "description=another text",
    "candidates.minilm_3.note=for people",
    "candidates.minilm_3.baseline=true",
    "candidates.minilm_3.schedule.tensorboard=false",
    "candidates.minilm_3.schedule.keep=true",
    "candidates.minilm_3.parity_tolerance=0.01",
    "candidates.minilm_3.max_unknown=0.5",
    "analysis.mistakes=3",
    "behaviour.texts=3",
    "gate.confidence=0.9",
    "candidates.tfidf_logreg=null",
)
OTHER = (
    "seed=43",
    "data.limit=61",
    "candidates.minilm_3.learning_rate=0.5",
    "candidates.minilm_3.layers=2",
    "candidates.minilm_3.schedule.patience=2",
    "candidates.minilm_3.int8=null",
)


def keys(root: Path, *overrides: str) -> dict[str, str]:
    """Candidate `minilm_3` in a run, in a search and in a seed comparison → what its training is found by."""
    experiment = load_experiment("quickstart", [*TEXTS, *overrides])
    splits = split_data(load_data(experiment.data, experiment.seed), experiment.data, experiment.seed)
    with environment(root):
        registry = ModelRegistry(TrackingSettings())
        return {
            "run": _folder_of_run(experiment, splits, registry),
            "search": study_name(experiment, splits, registry),
            "seeds": training_context(
                "minilm_3, seed",
                experiment.candidates["minilm_3"],
                splits,
                experiment.seed,
                root,
                registry,
                Progress(),
            ).identity,
        }


def _folder_of_run(experiment: Experiment, splits: Splits, registry: ModelRegistry) -> str:
    with run_folder(experiment, splits) as folder:
        scratch = folder.context("minilm_3", experiment, splits, registry, Progress()).scratch
    return str(scratch)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identity")


@pytest.fixture(scope="module")
def before(root: Path) -> dict[str, str]:
    return keys(root)


@pytest.mark.parametrize("override", SAME)
def test_notes_and_report_options_train_nothing_anew(
    override: str, root: Path, before: dict[str, str]
) -> None:
    assert keys(root, override) == before


@pytest.mark.parametrize("override", OTHER)
def test_what_changes_the_result_trains_anew(override: str, root: Path, before: dict[str, str]) -> None:
    now = keys(root, override)
    assert {way for way in before if now[way] == before[way]} == set()


def test_other_library_versions_train_anew(
    root: Path, before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = fingerprint.library_versions()
    assert {"torch", "transformers", "scikit-learn", "tokenizers"} <= set(installed)
    monkeypatch.setattr(fingerprint, "library_versions", lambda: {**installed, "torch": "0.0.1"})
    now = keys(root)
    assert {way for way in before if now[way] == before[way]} == set()


def test_weights_in_a_folder_count_by_their_content(root: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    found = []
    for folder, content in zip(folders, ("same", "same"), strict=True):
        folder.mkdir()
        (folder / "model.safetensors").write_text(content, encoding="utf-8")
        found.append(fingerprint._folder_state(folder))
    assert found[0] == found[1]
    (folders[1] / "model.safetensors").write_text("Same", encoding="utf-8")
    assert fingerprint._folder_state(folders[1]) != found[0]
