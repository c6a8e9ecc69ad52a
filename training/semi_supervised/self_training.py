"""Self-training: networks fine-tuned on the labelled texts label the others, and a fresh one learns from all.

With `graph`, labels also spread over a nearest-neighbour graph of sentence vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from training.config.finetuning import SelfTrainingConfig
from training.config.network import NetworkConfig
from training.data import Part, Splits
from training.data.labels import positions_of
from training.errors import ExperimentInvalid
from training.export.onnx import torch_probabilities
from training.finetuning.loop import finetune
from training.finetuning.regularizers import strategies_of
from training.finetuning.trainer import computes_in_bfloat16
from training.models.pooling import MeanPooledClassifier, sentence_vectors
from training.models.result import History, TrainingContext

_ROUNDS = 40
"""Enough at any `alpha` below 0.95: what a further round brings is below a thousandth of the mass."""
_WIDTH = 0.1
"""Cosine distance at which an edge counts e times less."""


def spread_labels(
    vectors: NDArray[np.float32], known: NDArray[np.int64], count: int, *, neighbours: int, alpha: float
) -> NDArray[np.float32]:
    """Probabilities of `count` labels for every text, (texts, count).

    Args:
        vectors: (texts, width), the texts with a label first.
        known: position of the label of each of those.
        count: how many labels there are.
        neighbours: edges that start at each text.
        alpha: share of its label that a text takes from its neighbours in each round, 0 to 1; the rest is what it
            began with.

    Raises:
        ValueError: `alpha` is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not be {alpha}")
    edges = _graph(vectors, neighbours)
    start = np.zeros((len(vectors), count))
    start[np.arange(len(known)), known] = 1.0
    mass = start.copy()
    for _ in range(_ROUNDS):
        mass = alpha * (edges @ mass) + (1 - alpha) * start
    # A text that no label has reached may be anything.
    shares = np.bincount(known, minlength=count) / len(known)
    mass = _rows_to_one(mass) + 1e-12
    balanced = mass / mass.sum(axis=0, keepdims=True) * shares
    probabilities: NDArray[np.float32] = _rows_to_one(balanced).astype(np.float32)
    return probabilities


def _graph(vectors: NDArray[np.float32], neighbours: int) -> sparse.csr_array:
    """Symmetric edges to the nearest texts, each row and column scaled by the root of its sum; (texts, texts)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    wanted = min(neighbours, len(unit) - 1)
    found = NearestNeighbors(n_neighbors=wanted, metric="cosine", algorithm="brute").fit(unit)
    edges = sparse.csr_array(found.kneighbors_graph(mode="distance"))  # without the text itself
    edges.data = np.exp(-edges.data / _WIDTH)
    edges = sparse.csr_array(edges + edges.T)
    root = 1 / np.sqrt(np.maximum(edges.sum(axis=1), 1e-12))
    return sparse.csr_array(sparse.diags_array(root) @ edges @ sparse.diags_array(root))


def _rows_to_one(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)
    return scaled


Beginner = Callable[[NetworkConfig, int], tuple[PreTrainedModel, PreTrainedTokenizerFast]]
"""Configuration and seed → a network as it is before training, and its tokenizer."""

Probabilities = NDArray[np.float32]
_STREAM = 11
"""Which stream of the seed's random numbers draws the texts."""
_SEEDS_APART = 1000
"""Between the seeds of teachers."""


@dataclass(frozen=True)
class PseudoLabelled:
    """Unlabelled texts with the teachers' probabilities."""

    texts: list[str]
    probabilities: Probabilities
    """(texts, labels)."""

    def __len__(self) -> int:
        return len(self.texts)


def self_train(
    begin: Beginner, config: NetworkConfig, splits: Splits, context: TrainingContext
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, History, dict[str, float]]:
    """Train the teachers, label the unlabelled texts, and train the student; held-out texts only choose epochs.

    Returns:
        The student, its tokenizer, the history of its training, and figures: `pseudo_labelled` (texts),
        `pseudo_confidence` (mean probability of the labels they got).

    Raises:
        ExperimentInvalid: the data have no unlabelled texts, or the teachers are sure of none.
    """
    options = config.self_training
    assert options is not None, "asked for by the caller"
    # Named nowhere: once the texts are labelled, the teachers' memory is free for the student.
    found = pseudo_labelled(
        options, _opinion(begin, teacher_config(config), splits, context), splits, context.seed
    )
    context.progress.console.print(
        f"{context.name}: {len(found):,} of {len(splits.unlabelled):,} unlabelled texts labelled "
        f"with a mean confidence of {found.probabilities.max(axis=1).mean():.3f}",
        highlight=False,
    )
    network, tokenizer = begin(config, context.seed)
    lessons, targets = _lessons(options, splits, found, config.label_smoothing)
    student_config = config.model_copy(
        update={
            "epochs": options.epochs,
            "learning_rate": options.learning_rate,
            "batch_size": options.batch_size,
        }
    )
    encoded = tokenizer(lessons.train.texts, truncation=True, max_length=config.max_length)["input_ids"]
    strategies = replace(strategies_of(student_config, lessons), objective=SoftTargets(encoded, targets))
    student_place = replace(context, scratch=context.scratch / "student")
    history = finetune(network, tokenizer, student_config, lessons, student_place, strategies)
    figures = {
        "pseudo_labelled": float(len(found)),
        "pseudo_confidence": float(found.probabilities.max(axis=1).mean()),
    }
    return network, tokenizer, history, figures


def teacher_config(config: NetworkConfig) -> NetworkConfig:
    """How the teachers of a self-trained candidate are trained: as the candidate, but for what is said of them."""
    options = config.self_training
    assert options is not None, "asked for by the caller"
    own: dict[str, object] = {}
    if options.teacher_weights is not None:
        # The layers that the configuration names are those of the candidate.
        own |= {"weights": options.teacher_weights, "layers": None}
    if options.teacher_learning_rate is not None:
        own["learning_rate"] = options.teacher_learning_rate
    return config.model_copy(update=own)


def pseudo_labelled(
    options: SelfTrainingConfig, ask: Callable[[list[str]], Probabilities], splits: Splits, seed: int
) -> PseudoLabelled:
    """The unlabelled texts that are used, with their soft labels.

    Args:
        options: how many, how sure, how soft.
        ask: texts → probabilities (texts, labels).
        splits: whose unlabelled texts are meant; no other text is looked at.
        seed: draws the texts where there is a limit.

    Raises:
        ExperimentInvalid: there are none.
    """
    texts = list(splits.unlabelled)
    if not texts:
        raise ExperimentInvalid(
            "self_training needs texts without labels: give data.split.unlabelled a share, such as 0.5"
        )
    if options.limit is not None and options.limit < len(texts):
        drawn = np.random.default_rng([seed, _STREAM]).permutation(len(texts))[: options.limit]
        texts = [texts[index] for index in sorted(drawn)]
    probabilities = with_temperature(ask(texts), options.temperature)
    sure = np.flatnonzero(probabilities.max(axis=1) >= options.confidence)
    if not len(sure):
        raise ExperimentInvalid(
            f"the teachers are sure of none of {len(texts)} unlabelled texts: lower self_training.confidence, "
            f"which is {options.confidence:g}"
        )
    return PseudoLabelled([texts[index] for index in sure], probabilities[sure])


def with_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """`probabilities` (texts, labels) at the temperature `temperature`."""
    powers = probabilities.astype(np.float64) ** (1 / temperature)
    soft: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return soft


class SoftTargets:
    """The student's objective: cross-entropy with a distribution over the labels for each text."""

    def __init__(self, encoded: Sequence[Sequence[int]], targets: Probabilities) -> None:
        """`encoded`: the token ids of each text; `targets`: (texts, labels). Equal texts share their mean target."""
        gathered: dict[bytes, list[Tensor]] = {}
        for ids, target in zip(encoded, torch.from_numpy(targets), strict=True):
            gathered.setdefault(_key(ids), []).append(target)
        self._targets = {key: torch.stack(rows).mean(dim=0) for key, rows in gathered.items()}

    def __call__(self, network: PreTrainedModel, batch: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        """The mean loss over the batch's texts, and the network's output."""
        said = network(**{name: tensor for name, tensor in batch.items() if name != "labels"})
        rows = [
            self._targets[_key(ids[mask.bool()].tolist())]
            for ids, mask in zip(batch["input_ids"].cpu(), batch["attention_mask"].cpu(), strict=True)
        ]
        targets = torch.stack(rows).to(said.logits.device)
        return functional.cross_entropy(said.logits.float(), targets), said


def _opinion(
    begin: Beginner, config: NetworkConfig, splits: Splits, context: TrainingContext
) -> Callable[[list[str]], Probabilities]:
    """The teachers and the graph together, by the weight of the graph."""
    options = config.self_training
    assert options is not None
    graph = options.graph
    teachers = None if graph and graph.weight == 1 else _ask(begin, config, splits, context)

    def ask(texts: list[str]) -> Probabilities:
        if graph is None:
            assert teachers is not None
            return teachers(texts)
        network, tokenizer = begin(config, context.seed)
        assert isinstance(network, MeanPooledClassifier), "the configuration sees to it"
        with torch.autocast(
            network.device.type, torch.bfloat16, enabled=computes_in_bfloat16(config.schedule)
        ):
            vectors = sentence_vectors(
                network, tokenizer, [*splits.train.texts, *texts], max_length=config.max_length
            )
        known = positions_of(splits.train.labels, splits.labels)
        spread = spread_labels(
            vectors, known, len(splits.labels), neighbours=graph.neighbours, alpha=graph.alpha
        )[len(known) :]
        if teachers is None:
            return spread
        mixed: Probabilities = graph.weight * spread + (1 - graph.weight) * teachers(texts)
        return mixed

    return ask


def _ask(
    begin: Beginner, config: NetworkConfig, splits: Splits, context: TrainingContext
) -> Callable[[list[str]], Probabilities]:
    """Train the teachers; returns a function that gives their mean probabilities."""
    assert config.self_training is not None
    teachers = []
    for number in range(config.self_training.teachers):
        seed = context.seed + _SEEDS_APART * number
        network, tokenizer = begin(config, seed)
        place = replace(
            context,
            name=f"{context.name} teacher {number + 1}",
            scratch=context.scratch / f"teacher{number}",
            seed=seed,
        )
        finetune(network, tokenizer, config, splits, place)
        network.train(False)
        teachers.append((network, tokenizer))

    def ask(texts: list[str]) -> Probabilities:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # like lengths: less padding
        mean = np.zeros((len(texts), len(splits.labels)), dtype=np.float32)
        quick = computes_in_bfloat16(config.schedule)
        for network, tokenizer in teachers:
            with torch.autocast(network.device.type, torch.bfloat16, enabled=quick):
                mean[order] += torch_probabilities(
                    network, tokenizer, [texts[index] for index in order], max_length=config.max_length
                ) / len(teachers)
        return mean

    return ask


def _lessons(
    options: SelfTrainingConfig, splits: Splits, found: PseudoLabelled, smoothing: float
) -> tuple[Splits, Probabilities]:
    """`splits` with the unlabelled texts in its training part, and each of those texts' target."""
    count = len(splits.labels)
    true = np.eye(count, dtype=np.float32)[positions_of(splits.train.labels, splits.labels)]
    true = true * (1 - smoothing) + smoothing / count
    guessed = [splits.labels[index] for index in found.probabilities.argmax(axis=1)]
    train = Part(
        [*splits.train.texts * options.repeat, *found.texts],
        [*splits.train.labels * options.repeat, *guessed],
    )
    targets: Probabilities = np.concatenate([*[true] * options.repeat, found.probabilities]).astype(
        np.float32
    )
    return replace(splits, train=train), targets


def _key(ids: Sequence[int]) -> bytes:
    return hashlib.blake2b(np.asarray(ids, dtype=np.int64).tobytes(), digest_size=16).digest()
