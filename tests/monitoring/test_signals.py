"""The signals that look at more than one number a text: languages, and the classifier's own embedding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.signals.chance import Draws, Score
from monitoring.signals.comparison import Comparison
from monitoring.signals.embedding import (
    classes_of,
    embedding_score,
    logged_probabilities,
    reference_probabilities,
)
from monitoring.signals.languages import languages_of
from monitoring.signals.sentences import in_words
from monitoring.verdict import Signal


def answers(shares: list[float], count: int, seed: int, *, certainty: float = 20.0) -> np.ndarray:
    """Probabilities of `count` texts, (count, classes): drawn around a class each."""
    source = np.random.default_rng(seed)
    middles = np.eye(len(shares))[source.choice(len(shares), count, p=shares)] * certainty + 0.5
    return np.array([source.dirichlet(middle) for middle in middles])


def score(old: np.ndarray, new: np.ndarray):  # type: ignore[no-untyped-def]
    return embedding_score(old, new, Draws(999, np.random.default_rng(5)))


def test_languages_are_told_apart_and_what_is_no_language_is_unsure() -> None:
    texts = [
        "The minister said on Monday that the bank would keep its rates for the rest of the year.",
        "Der Minister sagte am Montag, dass die Bank ihre Zinsen bis zum Ende des Jahres halten werde.",
        "Le ministre a déclaré lundi que la banque garderait ses taux jusqu'à la fin de l'année.",
        "4 / 5 = 0.8 %%% 17:30",
        "",
    ]
    assert languages_of(texts) == ["en", "de", "fr", "unsure", "unsure"]


def test_only_the_beginning_of_a_text_is_read() -> None:
    english = "The minister said on Monday that the bank would keep its rates for the rest of the year. "
    german = "Der Minister sagte am Montag, dass die Bank ihre Zinsen bis zum Ende des Jahres halten werde. "
    assert languages_of([english * 5 + german * 500]) == ["en"]


def test_the_embedding_moves_where_labels_and_confidence_do_not() -> None:
    # Half of the texts lie between a and b instead of between a and c: the same label, the same confidence.
    source = np.random.default_rng(1)
    top = source.uniform(0.6, 0.9, 300)
    rest = 0.9 * (1 - top)
    with_c = np.stack([top, (1 - top) - rest, rest], axis=1)
    with_b = np.stack([top, rest, (1 - top) - rest], axis=1)
    moved = score(with_c[:200], np.concatenate([with_c[200:250], with_b[250:]]))
    assert moved.p_value == 1 / 1000
    assert moved.value > 0.1


def test_p_values_of_the_embedding_are_uniform_when_nothing_changed() -> None:
    low = 0
    for seed in range(200):
        old, new = answers([0.5, 0.3, 0.2], 80, seed), answers([0.5, 0.3, 0.2], 40, 1000 + seed)
        rng = np.random.default_rng(seed)
        low += embedding_score(old, new, Draws(199, rng)).p_value <= 0.1
    # 200 draws at 0.1: 20 expected, 34 is three standard deviations above.
    assert 6 <= low <= 34


def test_the_size_of_the_embeddings_shift_does_not_depend_on_which_side_is_larger() -> None:
    old, new = answers([0.6, 0.2, 0.2], 3000, 1), answers([0.2, 0.2, 0.6], 1000, 2)
    assert score(old, new).value == pytest.approx(score(new, old).value, rel=0.15)
    assert score(old, new).value > 0.3


def test_one_point_for_all_texts_is_no_shift() -> None:
    same = np.full((90, 3), 1 / 3)
    assert score(same, same[:50]).p_value == 1.0


def test_probabilities_are_read_in_one_order_and_a_class_that_was_not_logged_has_none() -> None:
    reference = pd.DataFrame({"text": ["x"], "p_b": [0.25], "p_a": [0.75]})
    classes = classes_of(reference)
    assert classes == ("b", "a")
    assert reference_probabilities(reference).tolist() == [[0.25, 0.75]]
    assert logged_probabilities([{"a": 0.9, "b": 0.1}, {"a": 1.0}], classes).tolist() == [
        [0.1, 0.9],
        [0.0, 1.0],
    ]
    assert logged_probabilities([], classes).shape == (0, 2)


def test_a_change_of_the_tail_is_told_by_the_mean_where_the_median_stayed() -> None:
    def words(before: list[float], now: list[float]) -> str:
        return in_words(
            Comparison("confidence", "numbers", np.array(before), np.array(now), "", 0.1, 1, lambda: score)
        )

    score = Score(0.5, 0.01, lambda _: 0.1)
    assert words([0.9] * 5, [0.5] * 5) == "the median went from 0.90 to 0.50"
    assert (
        words([1.0] * 5, [1, 1, 1, 0.4, 0.6])
        == "the median stayed at 1.00, and the mean went from 1.00 to 0.80"
    )


@pytest.mark.parametrize(("value", "status"), [(0.31, "FAIL"), (0.29, "SUCCESS")])
def test_evidently_judges_a_measure_of_ours_by_our_threshold(value: float, status: str) -> None:
    from evidently import DataDefinition, Dataset, Report

    from monitoring.evidently_metric import score_metric

    signal = Signal(
        name="embedding", title="Embedding", measure="MMD", status="ok", value=value, threshold=0.3, floor=0.1,
        p_value=0.001, p_adjusted=0.011, reference_texts=2, window_texts=2, words="the mean moved",
    )  # fmt: skip
    data = Dataset.from_pandas(pd.DataFrame({"x": [1.0, 2.0]}), DataDefinition(numerical_columns=["x"]))
    found = Report([score_metric(signal)], include_tests=True).run(data, data).dict()
    assert found["metrics"][0]["value"] == value
    (test,) = found["tests"]
    assert test["status"] == status
    assert test["description"].startswith(
        f"Embedding: how far it moved: The mean moved. Score {value:.3f}, a breach from 0.300 on; p = 0.011"
    )
