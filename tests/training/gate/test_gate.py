from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from classifier import SigningKeys
from classifier.runtime import Probabilities
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import TOPICS, bbc_part, registered, sealed_tfidf_bundle
from tests.support.registries import with_tables
from tests.training.conftest import Trained
from training.config.evaluation import GateConfig
from training.data import DataConfig, Part, load_data, split_data
from training.evaluation.behaviour import Behaviour
from training.evaluation.cost import Cost
from training.evaluation.metrics import evaluate
from training.gate.contenders import (
    Champion,
    Contender,
    changed_source,
    current_champion,
    withholding_reasons,
)
from training.gate.decision import Decision, decide
from training.gate.page import write_gate_pages

LABELS = ("a", "b")
TEST = Part([f"text {i}" for i in range(200)], ["a", "b"] * 100)


def answers(wrong: int, start: int = 0) -> Probabilities:
    """Probabilities of the test part with `wrong` wrong answers, from text `start`."""
    right = np.array([0, 1] * 100)
    right[start : start + wrong] = 1 - right[start : start + wrong]
    rows = np.full((200, 2), 0.1, dtype=np.float32)
    rows[np.arange(200), right] = 0.9
    return rows


def decision(winner: Probabilities, champion: Champion | None, gate: GateConfig | None = None) -> Decision:
    scores = evaluate(winner, TEST.labels, LABELS, seed=0)
    contender = Contender("new", LABELS, winner, scores, Cost(3.0, 5.0, 20.0))
    return decide(contender, TEST, champion, gate or GateConfig(), seed=0)


def test_without_a_champion_the_winner_is_promoted() -> None:
    found = decision(answers(100), None)
    assert found.promoted
    assert found.alias == "champion"
    assert messages.GATE_NO_CHAMPION in found.tags()["gate_reasons"]


def test_a_better_winner_is_promoted_with_the_interval_given() -> None:
    found = decision(answers(4), Champion("3", LABELS, answers(40)))
    assert found.promoted
    assert found.difference is not None
    assert found.difference.low > 0
    assert found.champion_version == "3"
    assert messages.GATE_INTERVAL_ABOVE in " ".join(found.reasons)
    assert found.tags()["macro_f1_gain"].startswith("0.1")


def test_better_by_chance_is_not() -> None:
    found = decision(answers(10), Champion("3", LABELS, answers(12, start=100)))
    assert found.difference is not None
    assert found.difference.value > 0 > found.difference.low
    assert not found.promoted
    assert found.alias == "challenger"


def test_the_gate_says_what_both_reach_on_the_live_texts_alone() -> None:
    test = Part(TEST.texts, TEST.labels, ["live"] * 50 + ["earlier_live"] * 10 + ["source"] * 140)
    winner, champion = answers(6), answers(30)
    scores = evaluate(winner, test.labels, LABELS, seed=0)
    contender = Contender("new", LABELS, winner, scores, Cost(3.0, 5.0, 20.0))
    found = decide(contender, test, Champion("3", LABELS, champion), GateConfig(), seed=0)
    assert found.live is not None
    assert found.champion_live is not None
    assert (found.live.texts, found.live.accuracy.value, found.champion_live.accuracy.value) == (60, 0.9, 0.5)
    assert messages.GATE_LIVE_TEXTS in " ".join(found.reasons)
    assert found.tags()["champion_live_accuracy"].startswith("0.500")


def test_the_same_is_not_and_says_so() -> None:
    found = decision(answers(10), Champion("3", LABELS, answers(10)))
    assert not found.promoted
    assert messages.GATE_SAME_ANSWERS in " ".join(found.reasons)


def test_a_demanded_gain_is_demanded() -> None:
    champion = Champion("3", LABELS, answers(40))
    assert decision(answers(4), champion).promoted
    assert not decision(answers(4), champion, GateConfig(min_gain=0.3)).promoted


def test_other_labels_or_a_broken_champion_need_a_manual_choice() -> None:
    other = decision(answers(0), Champion("3", ("a", "b", "c"), answers(40)))
    broken = decision(answers(0), Champion("3", (), None, fault="model.onnx is missing"))
    assert not other.promoted
    assert not broken.promoted
    assert "other labels (a, b, c)" in " ".join(other.reasons)
    assert messages.GATE_MODEL_MISSING in " ".join(broken.reasons)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("champion", "why"),
    [
        (Champion("3", ("a", "b"), answers(0)), "knows other labels (a, b)"),
        (Champion("3", (), None, fault="model.onnx is missing"), "cannot be run: model.onnx is missing"),
    ],
)
def test_the_page_without_comparison_shows_the_winner_and_why(
    first_run: Trained, tmp_path: Path, champion: Champion, why: str
) -> None:
    experiment, winner = first_run.experiment, first_run.outcome.evaluated[0]
    splits = split_data(load_data(experiment.data, experiment.seed), experiment.data, experiment.seed)
    found = decide(Contender.of(winner), splits.test, champion, experiment.gate, seed=0)
    page = tmp_path / "gate.html"
    write_gate_pages(
        {page: False}, "news", winner, found, champion, Behaviour(()), splits.test, experiment.gate
    )
    words = page.read_text(encoding="utf-8")
    assert f"<h1>{winner.name} stays challenger</h1>" in words
    assert f"The champion, version 3, {why}" in words
    assert messages.GATE_CONFUSION_OF_WINNER in words
    assert messages.GATE_CONFUSION_OF_CHAMPION not in words
    assert messages.GATE_CLASS_FALLS not in words


def test_other_training_data_is_said() -> None:
    found = decision(answers(4), Champion("3", LABELS, answers(40), knows_the_data=False))
    assert messages.GATE_SEEN_BY_CHAMPION in found.as_markdown("new", "quickstart")


def test_the_champion_is_run_on_the_very_test_texts(tmp_path: Path) -> None:
    registry = ModelRegistry(TrackingSettings(var_dir=with_tables(tmp_path)))
    config = DataConfig(limit=120)
    splits = split_data(load_data(config, 1), config, 1)
    assert current_champion(registry, splits, keys=None) is None

    classifier = sealed_tfidf_bundle(tmp_path / "bundle")
    version = registered(registry, tmp_path / "bundle")
    champion = current_champion(registry, splits, keys=None)
    assert champion is not None
    assert champion.version == version.version
    assert champion.labels == TOPICS
    assert champion.probabilities is not None
    assert np.allclose(champion.probabilities, classifier.predict(splits.test.texts))
    assert not champion.knows_the_data
    assert len(bbc_part(0)[0]) > len(splits.train)


def test_a_champion_signed_with_no_key_cannot_be_trusted(tmp_path: Path) -> None:
    registry = ModelRegistry(TrackingSettings(var_dir=with_tables(tmp_path)))
    config = DataConfig(limit=120)
    splits = split_data(load_data(config, 1), config, 1)
    sealed_tfidf_bundle(tmp_path / "bundle")
    registered(registry, tmp_path / "bundle")
    champion = current_champion(registry, splits, keys=SigningKeys("secret"))
    assert champion is not None
    assert champion.probabilities is None
    assert "not signed" in champion.fault


SOURCES = {"data_source": "/data/news.csv", "data_source_fingerprint": "one"}


@pytest.mark.parametrize(
    ("labels", "source", "fingerprint", "reasons"),
    [
        (LABELS, "/data/news.csv", "two", 0),  # the same file, with other texts in it
        (LABELS, "/moved/news.csv", "one", 0),
        (LABELS, "/data/tickets.csv", "two", 1),
        ((*LABELS, "refund"), "/data/news.csv", "one", 1),
        ((*LABELS, "refund"), "/data/tickets.csv", "two", 2),
    ],
)
def test_a_winner_of_other_labels_or_source_gets_no_alias(
    labels: tuple[str, ...], source: str, fingerprint: str, reasons: int
) -> None:
    champion = Champion("3", LABELS, answers(40), tags=SOURCES)
    assert len(withholding_reasons(champion, labels, source, fingerprint)) == reasons
    assert withholding_reasons(None, labels, source, fingerprint) == ()
    before_there_were_tags = Champion("3", LABELS, answers(40))
    assert len(withholding_reasons(before_there_were_tags, labels, source, fingerprint)) == (labels != LABELS)


def test_a_withheld_winner_keeps_the_gates_word() -> None:
    found = dataclasses.replace(decision(answers(4), None), withheld=("It learned from elsewhere.",))
    assert (found.passed, found.promoted, found.alias) == (True, False, None)
    assert found.tags()["gate"] == "passed"
    assert found.tags()["alias_withheld"] == "It learned from elsewhere."
    assert found.as_markdown("new", "tickets").startswith("# new is registered without an alias")


def test_a_source_with_other_texts_is_reported() -> None:
    champion = Champion("3", LABELS, answers(40), tags=SOURCES)
    assert changed_source(champion, "/data/news.csv", "one") is None
    assert changed_source(champion, "/data/other.csv", "two") is None
    assert "/data/news.csv" in (changed_source(champion, "/data/news.csv", "two") or "")
    assert changed_source(None, "/data/news.csv", "two") is None
