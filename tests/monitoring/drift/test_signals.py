"""The signals that look at more than one number a text: languages, and the classifier's own embedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from monitoring.drift import language
from monitoring.drift.embedding import (
    classes_of,
    embedding_score,
    logged_probabilities,
    reference_probabilities,
)
from monitoring.drift.language import LanguageIdentification
from monitoring.drift.permutation import PermutationSampler
from monitoring.verdict import Signal
from tests.monitoring.conftest import comparison
from tests.support.bundles import bbc_part


def answers(shares: list[float], count: int, seed: int, *, certainty: float = 20.0) -> np.ndarray:
    """Probabilities of `count` texts, (count, classes): drawn around a class each."""
    source = np.random.default_rng(seed)
    middles = np.eye(len(shares))[source.choice(len(shares), count, p=shares)] * certainty + 0.5
    return np.array([source.dirichlet(middle) for middle in middles])


def score(old: np.ndarray, new: np.ndarray):  # type: ignore[no-untyped-def]
    return embedding_score(old, new, PermutationSampler(999, np.random.default_rng(5)))


LANGUAGES = {
    "The minister said on Monday that the bank would keep its rates for the rest of the year.": "en",
    "Der Minister sagte am Montag, dass die Bank ihre Zinsen bis zum Ende des Jahres halten werde.": "de",
    "Le ministre a déclaré lundi que la banque garderait ses taux jusqu'à la fin de l'année.": "fr",
    "4 / 5 = 0.8 %%% 17:30": "unsure",
    "": "unsure",
}


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No language is remembered from another test."""
    monkeypatch.setattr(language, "_known", {})


@pytest.mark.usefixtures("nothing_known")
def test_languages_are_told_apart_and_no_language_is_unsure() -> None:
    assert LanguageIdentification()(list(LANGUAGES)) == list(LANGUAGES.values())


@pytest.mark.usefixtures("nothing_known")
def test_the_unpacked_model_is_kept_and_says_the_same(tmp_path: Path) -> None:
    texts = [text[: 20 + place] for place, text in enumerate([*LANGUAGES, *bbc_part(2)[0]])]
    packed = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    told = [packed.classify(text) for text in texts]
    written = []
    for _ in range(2):  # the second time from the files
        unpacked = language._mapped(tmp_path / "model")
        assert [unpacked.classify(text) for text in texts] == told
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        written.append({path.name: path.stat().st_mtime_ns for path in (tmp_path / "model").iterdir()})
    assert written[0] == written[1]


@pytest.mark.usefixtures("nothing_known")
def test_languages_are_identified_where_no_file_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert LanguageIdentification(tmp_path / "file")(list(LANGUAGES)) == list(LANGUAGES.values())


def test_only_the_beginning_of_a_text_is_read() -> None:
    english = "The minister said on Monday that the bank would keep its rates for the rest of the year. "
    german = "Der Minister sagte am Montag, dass die Bank ihre Zinsen bis zum Ende des Jahres halten werde. "
    assert LanguageIdentification()([english * 5 + german * 500]) == ["en"]


def test_the_embedding_moves_where_labels_and_confidence_do_not() -> None:
    # Half of the texts lie between a and b instead of between a and c: the same label, the same confidence.
    source = np.random.default_rng(1)
    top = source.uniform(0.6, 0.9, 300)
    rest = 0.9 * (1 - top)
    with_c = np.stack([top, (1 - top) - rest, rest], axis=1)
    with_b = np.stack([top, rest, (1 - top) - rest], axis=1)
    moved = score(with_c[:200], np.concatenate([with_c[200:250], with_b[250:]]))
    assert moved.p_value < 1e-6
    assert moved.value > 0.1


def test_p_values_of_the_embedding_are_uniform_without_drift() -> None:
    low = 0
    for seed in range(200):
        old, new = answers([0.5, 0.3, 0.2], 80, seed), answers([0.5, 0.3, 0.2], 40, 1000 + seed)
        rng = np.random.default_rng(seed)
        low += embedding_score(old, new, PermutationSampler(199, rng)).p_value <= 0.1
    # 200 draws at 0.1: 20 expected, 34 is three standard deviations above.
    assert 6 <= low <= 34


def test_the_shift_of_embeddings_is_the_same_for_either_side() -> None:
    old, new = answers([0.6, 0.2, 0.2], 3000, 1), answers([0.2, 0.2, 0.6], 1000, 2)
    assert score(old, new).value == pytest.approx(score(new, old).value, rel=0.15)
    assert score(old, new).value > 0.3


def test_one_point_for_all_texts_is_no_shift() -> None:
    same = np.full((90, 3), 1 / 3)
    assert score(same, same[:50]).p_value == 1.0


def test_probabilities_are_in_one_order_and_missing_ones_0() -> None:
    reference = pd.DataFrame({"text": ["x"], "p_b": [0.25], "p_a": [0.75]})
    classes = classes_of(reference)
    assert classes == ("b", "a")
    assert reference_probabilities(reference).tolist() == [[0.25, 0.75]]
    assert logged_probabilities([{"a": 0.9, "b": 0.1}, {"a": 1.0}], classes).tolist() == [
        [0.1, 0.9],
        [0.0, 1.0],
    ]
    assert logged_probabilities([], classes).shape == (0, 2)


def words(name: str, before: object, now: object, classes: tuple[str, ...] = ()) -> str:
    item = comparison(name, before, now, classes=classes)
    return item.signal.describe(item)


def test_the_part_of_a_distribution_that_moved_is_told() -> None:
    rng = np.random.default_rng(1)
    usual = rng.gamma(1, 5, 500)
    # Most texts have no unseen words any more, and those that have some have many.
    tail = words("unseen_words", usual, np.where(rng.random(300) < 0.6, 0.0, rng.gamma(1, 25, 300)))
    assert tail.startswith("the 95th percentile went from 1")
    assert "% of texts are above 1" in tail
    assert "median" not in tail
    assert words("confidence", [0.9] * 5, [0.5] * 5) == "the median went from 0.90 to 0.50"
    low = words("confidence", [1.0] * 10, [*[1.0] * 8, 0.4, 0.6])
    assert low.startswith("the 5th percentile went from 1.00 to 0.49 (20% of texts are below 1.00, 0%")
    wider = words("text_length", rng.normal(400, 50, 500), rng.normal(400, 150, 500))
    assert "95th percentile" in wider
    assert ", while the 5th percentile" in wider
    assert (
        words("word_count", [3.0] * 100, [*[3.0] * 97, 9, 9, 9])
        == "the mean went from 3.0 to 3.2 words per text"
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_signal_that_differs_is_said_to_have_stayed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.normal(50, 3, 300), rng.normal(50, 3, 200)
    now[rng.choice(200, 1 + 5 * seed)] += rng.normal(0, 40, 1 + 5 * seed)
    assert "stayed" not in words("text_length", before, now)
    shares = rng.dirichlet(np.ones(77)), rng.dirichlet(np.ones(77))
    names = [f"class {number}" for number in range(77)]
    sides = [rng.choice(names, 5000, p=0.98 * np.ones(77) / 77 + 0.02 * share) for share in shares]
    assert "stayed" not in words("predicted_label", sides[0].tolist(), sides[1].tolist())


def test_classes_with_equal_means_are_described() -> None:
    before = np.tile([[0.5, 0.5]], (40, 1))
    now = np.array([[0.95, 0.05], [0.05, 0.95]] * 20)
    said = words("embedding", before, now, ("a", "b"))
    assert said == "texts that may be a (more than 10% probable) went from 100.0% to 50.0%"


@pytest.mark.parametrize(("value", "status"), [(0.31, "FAIL"), (0.29, "SUCCESS")])
def test_evidently_judges_a_measure_of_ours_by_our_threshold(value: float, status: str) -> None:
    from evidently import DataDefinition, Dataset, Report

    from monitoring.report.evidently_metric import score_metric

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
