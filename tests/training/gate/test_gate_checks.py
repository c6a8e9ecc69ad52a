"""Each demand of the gate, by itself: what passes, what does not, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.runtime import Probabilities
from tests import golden_messages as messages
from training.config.evaluation import GateConfig
from training.data import Part
from training.evaluation.behaviour import Behaviour, BehaviourTest, Kind
from training.evaluation.cost import Cost
from training.evaluation.intervals import share_interval
from training.evaluation.metrics import evaluate, paired_differences
from training.gate.checks import ClassFall, class_falls
from training.gate.contenders import Champion, Contender
from training.gate.decision import Decision, decide

LABELS = ("large", "middle", "small")
SIZES = (400, 200, 12)
TRUTH = np.repeat([0, 1, 2], SIZES)
TEST = Part([f"text {i}" for i in range(len(TRUTH))], [LABELS[i] for i in TRUTH])


def answers(**wrong: int) -> Probabilities:
    """Answers with `wrong` errors of each class, given to the class after it."""
    given = TRUTH.copy()
    for label, count in wrong.items():
        position = LABELS.index(label)
        given[np.flatnonzero(position == TRUTH)[:count]] = (position + 1) % 2
    rows = np.full((len(TRUTH), 3), 0.05, dtype=np.float32)
    rows[np.arange(len(TRUTH)), given] = 0.9
    return rows


def decided(
    winner: Probabilities,
    champion: Probabilities | None,
    gate: GateConfig | None = None,
    behaviour: Behaviour | None = None,
) -> Decision:
    scores = evaluate(winner, TEST.labels, LABELS, seed=0)
    contender = Contender("new", LABELS, winner, scores, Cost(3.0, 5.0, 20.0))
    known = None if champion is None else Champion("3", LABELS, champion)
    return decide(contender, TEST, known, gate or GateConfig(), seed=0, behaviour=behaviour)


def outcomes(decision: Decision) -> dict[str, str]:
    return {check.name: check.outcome for check in decision.checks}


def test_better_overall_does_not_excuse_a_class_that_falls() -> None:
    found = decided(answers(small=6), answers(large=180, middle=90))
    assert outcomes(found)["gain"] == "passed"
    assert outcomes(found)["class_fall"] == "failed"
    assert not found.promoted
    assert "small (" in found.reasons[-1]
    assert "on 12 texts" in found.reasons[-1]
    assert decided(answers(small=6), answers(large=180, middle=90), GateConfig(max_class_fall=None)).promoted


def test_one_text_of_a_small_class_is_noise_and_is_said_to_be() -> None:
    found = decided(answers(small=1), answers(large=120, middle=60))
    fall = next(fall for fall in found.falls if fall.label == "small")
    assert fall.difference.value < 0
    assert fall.outcome == "unsure"
    assert found.promoted
    check = next(check for check in found.checks if check.name == "class_fall")
    assert messages.GATE_TOO_FEW_TEXTS in check.words


def test_a_class_that_is_lost_blocks_however_small() -> None:
    truth = np.array([0] * 300 + [1] * 3)
    labels = ("many", "three")
    names = [labels[i] for i in truth]
    right = np.eye(2, dtype=np.float32)[truth]
    lost = np.eye(2, dtype=np.float32)[np.zeros(len(truth), dtype=int)]
    falls = _falls(lost, right, names, labels)
    assert falls["three"].probability == 1.0, "resamples without the class say nothing of it"
    assert falls["three"].outcome == "failed"
    assert falls["many"].outcome == "passed"


def _falls(
    challenger: Probabilities,
    champion: Probabilities,
    names: list[str],
    labels: tuple[str, ...],
    seed: int = 0,
) -> dict[str, ClassFall]:
    differences = paired_differences(challenger, champion, names, labels, seed=seed, resamples=400)
    scores = evaluate(challenger, names, labels, seed=seed, resamples=100)
    return {fall.label: fall for fall in class_falls(differences, scores, GateConfig())}


@pytest.mark.parametrize(("texts", "classes"), [(60, 4), (25, 10)])
def test_equals_seldom_fail_and_a_large_fall_seldom_passes(texts: int, classes: int) -> None:
    """The rule's two errors, where both classifiers are right on 90 % of the texts, each on its own."""
    labels = tuple(f"class {i}" for i in range(classes))
    truth = np.repeat(np.arange(classes), texts)
    names = [labels[i] for i in truth]
    rng = np.random.default_rng(0)

    def guesses(shares: np.ndarray) -> Probabilities:
        right = rng.random(len(truth)) < shares[truth]
        return np.eye(classes, dtype=np.float32)[
            np.where(right, truth, (truth + rng.integers(1, classes, len(truth))) % classes)
        ]

    blocked = caught = 0
    fallen = np.full(classes, 0.9)
    fallen[0] = 0.3
    for seed in range(40):
        champion = guesses(np.full(classes, 0.9))
        equals = _falls(guesses(np.full(classes, 0.9)), champion, names, labels, seed)
        blocked += any(fall.outcome == "failed" for fall in equals.values())
        caught += _falls(guesses(fallen), champion, names, labels, seed)["class 0"].outcome == "failed"
    assert blocked <= 4  # 10 % at most, over all classes together
    assert caught >= 36  # 90 % at least


@pytest.mark.parametrize(
    ("option", "kept", "broken"),
    [
        ("max_latency_ms_p50", 3.0, 2.9),
        ("max_latency_ms_p95", 5.0, 4.9),
        ("max_megabytes", 20.0, 19.0),
        ("max_calibration_error", 0.2, 0.01),
        ("min_macro_f1", 0.8, 0.99),
    ],
)
def test_ceilings_and_the_floor_hold_for_the_first_champion_too(
    option: str, kept: float, broken: float
) -> None:
    winner = answers(large=20, middle=10)
    unset = decided(winner, None)
    assert unset.promoted
    assert outcomes(unset)[option] == "no limit"
    within = decided(winner, None, GateConfig(**{option: kept}))
    assert within.promoted
    assert outcomes(within)[option] == "passed"
    beyond = decided(winner, None, GateConfig(**{option: broken}))
    assert not beyond.promoted
    assert beyond.alias == "challenger"
    assert outcomes(beyond)[option] == "failed"
    tag = beyond.tags()[f"gate_{option}"]
    assert tag.startswith("failed: ")
    assert f"{broken:g}" in tag
    assert any(f"{broken:g}" in reason for reason in beyond.reasons)


@pytest.mark.parametrize("kind", ["invariance", "direction", "minimum"])
def test_behaviour_warns_or_blocks_as_the_experiment_says(kind: Kind) -> None:
    share = share_interval(70, 100)
    behaviour = Behaviour((BehaviourTest(f"{kind}_x", kind, "What must hold", 100, share),))
    warned = decided(answers(), None, None, behaviour)
    assert warned.promoted
    assert outcomes(warned)[f"{kind}_x"] == "warning"
    assert messages.GATE_HELD in warned.reasons[-1]
    blocking = GateConfig.model_validate({"behaviour": {"on_failure": "block"}})
    assert not decided(answers(), None, blocking, behaviour).promoted
    lower = GateConfig.model_validate({"behaviour": {"on_failure": "block", f"{kind}_min": 0.7}})
    assert decided(answers(), None, lower, behaviour).promoted


def test_the_page_in_words_lists_every_check() -> None:
    page = decided(answers(), answers(large=120, middle=60), GateConfig(max_megabytes=10)).as_markdown(
        "new", "quickstart"
    )
    assert messages.GATE_STAYS_CHALLENGER in page
    assert "| Size | 20.0 MB | at most 10 MB | failed |" in page
