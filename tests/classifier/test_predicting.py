"""What a classifier promises of its answers, whatever its kind."""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from classifier import Classifier, Description, PredictionFailed
from classifier.runtime import Encoded, Model, RuntimeOptions
from classifier.runtimes.onnx import NetworkModel
from tests import golden_messages as messages
from tests.support.bundles import TOPICS, bbc_part
from tests.support.networks import MAX_LENGTH

TOLERANCE = 1e-4
"""float32 sums in another order, where a batch is padded otherwise."""

SHORT = "Shares fell in London."
TEXTS = [SHORT, "goal " * 500, *bbc_part(2)[0][:20], "x", "日本語のテキスト 🎈", "the final whistle"]


def test_a_row_of_probabilities_for_each_text(any_model: Classifier) -> None:
    found = any_model.predict(TEXTS)
    assert found.shape == (len(TEXTS), len(any_model.labels))
    assert found.dtype == np.float32
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_no_text_gives_no_row(any_model: Classifier) -> None:
    assert any_model.predict([]).shape == (0, len(TOPICS))
    assert any_model.infer([]).shape == (0, len(TOPICS))


@pytest.mark.parametrize("batch_tokens", [1, 64, 700, 100_000])
def test_company_changes_nothing(any_model: Classifier, batch_tokens: int) -> None:
    """A text gets what it gets alone, whatever stands beside it and in whatever order."""
    alone = np.concatenate([any_model.predict([text]) for text in TEXTS])
    order = list(range(len(TEXTS)))
    random.Random(batch_tokens).shuffle(order)
    together = any_model.predict([TEXTS[index] for index in order], batch_tokens=batch_tokens)
    np.testing.assert_allclose(together, alone[order], atol=TOLERANCE)


def test_threads_get_the_same_answers(any_model: Classifier) -> None:
    expected = any_model.predict(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: any_model.predict(TEXTS), range(24)))
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=TOLERANCE)


def test_loaded_again_it_answers_alike(any_model: Classifier) -> None:
    again = Classifier.load(any_model.folder, threads=1)
    np.testing.assert_allclose(again.predict(TEXTS), any_model.predict(TEXTS), atol=TOLERANCE)


def test_the_network_counts_tokens_and_says_what_it_cut(network: Classifier) -> None:
    answer = network.classify([SHORT, "goal " * 500])
    assert answer.tokens == [7, 502]  # [CLS] shares fell in london . [SEP]
    assert answer.truncated == [False, True]
    short, long = network.encode([SHORT, "goal " * 500])
    assert len(short.ids) == short.cost == 7
    assert len(long.ids) == long.cost == MAX_LENGTH
    assert (long.ids[0], long.ids[-1]) == (short.ids[0], short.ids[-1])  # [CLS] and [SEP] survive the cut


def test_exactly_the_maximum_is_not_cut(network: Classifier) -> None:
    whole, cut = network.encode(["goal " * (MAX_LENGTH - 2), "goal " * (MAX_LENGTH - 1)])
    assert (whole.tokens, whole.truncated) == (MAX_LENGTH, False)
    assert (cut.tokens, cut.truncated) == (MAX_LENGTH + 1, True)
    assert whole.ids == cut.ids


def test_what_was_cut_does_not_count(network: Classifier) -> None:
    same_start = ["goal " * 80 + "parliament", "goal " * 80 + "software"]
    first, second = network.predict(same_start)
    np.testing.assert_array_equal(first, second)


def test_classical_models_read_everything(tfidf: Classifier) -> None:
    answer = tfidf.classify(["one two three", "goal " * 5000])
    assert answer.tokens == [3, 5000]
    assert answer.truncated == [False, False]
    assert tfidf.max_length is None


def test_tfidf_knows_its_trade(tfidf: Classifier) -> None:
    texts, labels = bbc_part(3)
    found = [tfidf.labels[index] for index in tfidf.predict(texts).argmax(axis=1)]
    assert np.mean([a == b for a, b in zip(found, labels, strict=True)]) > 0.93


def test_temperature_flattens_and_keeps_the_order(tfidf: Classifier) -> None:
    warm = tfidf.description.model_copy(update={"temperature": 3.0})
    flatter = Classifier(warm, tfidf._model, folder=tfidf.folder, manifest={})
    plain, flat = tfidf.predict(TEXTS[2:20]), flatter.predict(TEXTS[2:20])
    np.testing.assert_array_equal(plain.argmax(axis=1), flat.argmax(axis=1))
    assert (flat.max(axis=1) < plain.max(axis=1)).all()


class _Constant(Model):
    """A runtime that gives the same logits for every text: for outputs that no sound model gives."""

    def __init__(self, row: list[float]) -> None:
        self.row = row

    @classmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> Model:
        return cls([0.0, 0.0])

    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:
        return [Encoded(text, (), 1, False) for text in texts]

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> np.ndarray:
        return np.asarray([self.row] * len(batch), dtype=np.float32)


@pytest.mark.parametrize(
    ("row", "said"),
    [([np.nan, 0.0], "NaN or infinity"), ([np.inf, 0.0], "NaN or infinity"), ([0.0, 0.0, 0.0], r"\(2, 3\)")],
)
def test_outputs_that_are_no_logits_are_an_error_and_no_answer(row: list[float], said: str) -> None:
    description = Description(kind="onnx", model_file="model.onnx", labels=("a", "b"))
    broken = Classifier(description, _Constant(row), folder=Path("bundle"), manifest={})
    with pytest.raises(PredictionFailed, match=rf"model\.onnx.*{said}"):
        broken.predict(["one", "two"])


def test_parallel_batches_get_the_answers_of_one_thread(any_model: Classifier) -> None:
    batch = any_model.encode(TEXTS[:8])
    np.testing.assert_allclose(any_model.infer(batch, exclusive=False), any_model.infer(batch), atol=1e-6)


def test_ids_beyond_the_vocabulary_fail_as_our_error(network: Classifier) -> None:
    with pytest.raises(PredictionFailed, match=messages.RUNTIME_FAILED):
        network.infer([Encoded("", (101, 10_000_000, 102), 3, False)])


def test_idle_threads_leave_the_processor_to_others(network_bundle: Path) -> None:
    model = NetworkModel(network_bundle, Description.read(network_bundle), threads=2)
    options = model._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


HEAVY = {"torch", "transformers", "mlflow", "bentoml", "sqlalchemy"}


@pytest.mark.parametrize(("kind", "heavy"), [("network", HEAVY | {"pandas", "sklearn"}), ("tfidf", HEAVY)])
def test_running_a_model_imports_no_torch(
    kind: str, heavy: set[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model: Classifier = request.getfixturevalue(kind)
    code = (
        "import sys; from classifier import Classifier; "
        f"Classifier.load({str(model.folder)!r}).predict(['a']); "
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
