"""Students: a smaller network made of the teacher's layers, a linear model, and extra unlabelled texts."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed
from transformers.utils import logging as transformers_logging

from classifier import Description
from classifier.runtimes.sklearn import save_skops
from training.config.distillation import DistilledConfig, DistilledLinearConfig, ExtraTextsConfig
from training.data import DataConfig, Part, Splits
from training.data.deduplication import near_duplicate_groups
from training.data.labels import positions_of
from training.data.loading import read_texts
from training.distillation.objective import LiveTeacher, Objective, RememberedTeacher
from training.distillation.teacher import Teacher, find_teacher
from training.errors import TeacherUnusable
from training.export.candidate import export_candidate
from training.export.read_back import read_tokenizer
from training.finetuning.loop import finetune
from training.finetuning.regularizers import strategies_of
from training.models.result import Trained, TrainingContext
from training.models.sklearn import report_wordless, tfidf_vectorizer
from training.models.weights import keep_layers, load_network

_STREAM = 7
"""Which stream of the seed's random numbers."""


def extra_texts(config: ExtraTextsConfig, splits: Splits, seed: int) -> list[str]:
    """Texts for the teacher to label, by `config`; the same for the same seed.

    Raises:
        DataError: the source cannot be read.
    """
    rng = np.random.default_rng([seed, _STREAM])
    found: list[str] = []
    if config.source is not None:
        found += _of_source(config.source, splits, rng, config.limit)
    for _ in range(config.copies):
        found += [_altered(text, config, rng) for text in splits.train.texts]
    return found


def _of_source(source: DataConfig, splits: Splits, rng: np.random.Generator, limit: int) -> list[str]:
    if splits.cleaning is not None:  # as every text that the student will read
        source = source.model_copy(update={"clean": splits.cleaning})
    texts = read_texts(source)
    known = {_key(text) for part in splits.parts().values() for text in part.texts}
    new = list({_key(text): text for text in texts if _key(text) not in known}.values())
    drawn = [new[index] for index in sorted(rng.permutation(len(new))[:limit])]
    return without_copies(drawn, splits, source.near_duplicate_similarity)


def without_copies(texts: Sequence[str], splits: Splits, similarity: float) -> list[str]:
    """`texts` without those that are near copies of a text of a held-out part."""
    held_out = [*splits.validation.texts, *splits.test.texts, *splits.holdout.texts]
    groups = near_duplicate_groups([*held_out, *texts], similarity)
    refused = {
        index - len(held_out) for group in groups if group[0] < len(held_out) for index in group
    }  # a group names its first text first
    return [text for index, text in enumerate(texts) if index not in refused]


def _altered(text: str, config: ExtraTextsConfig, rng: np.random.Generator) -> str:
    """A random run of the words of `text`, some left out; at least one word stays."""
    words = text.split()
    length = max(1, round(len(words) * rng.uniform(config.shortest, 1.0)))
    start = int(rng.integers(0, len(words) - length + 1))
    run = words[start : start + length]
    kept = [word for word, chance in zip(run, rng.random(len(run)), strict=True) if chance >= config.left_out]
    return " ".join(kept or run[:1])


def _key(text: str) -> str:
    return " ".join(text.split())


_NEGLIGIBLE = 1e-3
"""A probability below it is not worth a row."""


def train_linear_student(config: DistilledLinearConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Fit the student on `splits.train` and on the extra texts, as `pipeline.skops`.

    Raises:
        TeacherUnusable: the teacher is not there, cannot be run, or knows other labels.
        DataError: the extra texts cannot be read.
    """
    teacher = find_teacher(config.teacher, splits, context)
    task = context.progress.add_task(context.name, total=2)
    for sentence in teacher.sentences():
        context.progress.console.print(f"{context.name}: {sentence}", markup=False, highlight=False)
    extra = extra_texts(config.extra_texts, splits, context.seed)
    texts = [*splits.train.texts, *extra]
    targets = teacher.soft_labels(texts, temperature=config.temperature)
    truth = np.eye(len(splits.labels))[positions_of(splits.train.labels, splits.labels)]
    labelled = slice(0, len(truth))
    targets[labelled] = config.true_labels * truth + (1 - config.true_labels) * targets[labelled]
    context.progress.update(task, completed=1)

    vectorizer = tfidf_vectorizer(config)
    features = vectorizer.fit_transform(texts)
    rows, columns, weights = as_weighted_rows(targets)
    regression = LogisticRegression(C=config.C, max_iter=2000, random_state=context.seed)
    regression.fit(features[rows], np.asarray(splits.labels)[columns], sample_weight=weights)
    wordless = report_wordless(vectorizer, splits, context)
    save_skops(make_pipeline(vectorizer, regression), context.bundle / "pipeline.skops")
    context.progress.update(task, completed=2)
    description = Description(
        kind="sklearn",
        model_file="pipeline.skops",
        labels=tuple(str(label) for label in regression.classes_),
        candidate=context.name,
    )
    return Trained(
        description,
        figures={"features": float(features.shape[1]), "extra_texts": float(len(extra)), **wordless},
    )


def as_weighted_rows(
    targets: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Soft targets (n, k) for a learner that takes hard ones: (row, label, weight), each text once a likely label.

    The weighted log-loss over these rows is the cross-entropy with the soft targets, but for what is left out as
    negligible.
    """
    rows, columns = np.nonzero(targets > _NEGLIGIBLE)
    return rows, columns, targets[rows, columns]


def train_student(config: DistilledConfig, splits: Splits, context: TrainingContext) -> Trained:
    """Make, teach and export the student, as `model.onnx` and `tokenizer.json`.

    Raises:
        TeacherUnusable: the teacher is not there, cannot be run, or knows other labels.
        WeightsMissing: the teacher has not the layers that are asked for.
        DataError: the extra texts cannot be read.
        ParityError: the exported network's probabilities are not the trained one's.
    """
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    started = time.perf_counter()
    teacher = find_teacher(config.teacher, splits, context)
    for sentence in teacher.sentences():
        context.progress.console.print(f"{context.name}: {sentence}", markup=False, highlight=False)
    lessons, extra = _with_extra_texts(config, splits, teacher, context.seed)
    set_seed(context.seed)
    student, tokenizer, kept = _initial_model(config, teacher, splits)
    objective = Objective(config, _asked(config, teacher, lessons, tokenizer, kept))
    if config.attention_weight and isinstance(objective.teacher, LiveTeacher):
        student.set_attn_implementation("eager")
    strategies = replace(strategies_of(config, lessons), objective=objective)
    history = finetune(student, tokenizer, config, lessons, context, strategies)
    seconds = time.perf_counter() - started + history.seconds_before
    trained = export_candidate(student, tokenizer, config, splits, context, history)
    figures = {"training_seconds": seconds, "extra_texts": float(extra)}
    return replace(trained, figures={**trained.figures, **figures})


def _initial_model(
    config: DistilledConfig, teacher: Teacher, splits: Splits
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, tuple[int, ...]]:
    """The untaught student, its tokenizer, and which of the teacher's layers it has, from 0."""
    network = teacher.network
    if network is None:
        student, tokenizer = load_network(config.weights, splits.labels, config.layers)
        return student, tokenizer, ()
    total: int = network.config.num_hidden_layers
    kept = layers_kept(config.layers, total)
    if len(kept) >= total:
        raise TeacherUnusable(
            f"the teacher ({teacher.name}) has {total} layers, and the student is to keep {len(kept)}: a student has "
            "fewer"
        )
    student = copy.deepcopy(network)
    keep_layers(student, kept)
    return student, read_tokenizer(teacher.classifier.folder), kept


def layers_kept(layers: int | tuple[int, ...] | None, total: int) -> tuple[int, ...]:
    """The layers that a student keeps of a teacher with `total` of them: by default every other one."""
    if layers is None:
        return tuple(range(0, total, 2))
    return tuple(range(layers)) if isinstance(layers, int) else layers


def _asked(
    config: DistilledConfig,
    teacher: Teacher,
    lessons: Splits,
    tokenizer: PreTrainedTokenizerFast,
    kept: tuple[int, ...],
) -> LiveTeacher | RememberedTeacher:
    """How the teacher is run: on each batch if its hidden states are needed, else once on all texts."""
    network = teacher.network
    if network is not None and (config.hidden_weight or config.attention_weight):
        return LiveTeacher(network, kept, attentions=config.attention_weight > 0)
    texts = lessons.train.texts
    encoded = tokenizer(texts, truncation=True, max_length=config.max_length)["input_ids"]
    return RememberedTeacher(encoded, np.log(teacher.soft_labels(texts)).tolist())


def _with_extra_texts(
    config: DistilledConfig, splits: Splits, teacher: Teacher, seed: int
) -> tuple[Splits, int]:
    """`splits` with the extra texts in its training part, labelled as the teacher says, and how many they are."""
    extra = extra_texts(config.extra_texts, splits, seed)
    if not extra:
        return splits, 0
    best = teacher.soft_labels(extra).argmax(axis=1)
    train = Part(
        [*splits.train.texts, *extra], [*splits.train.labels, *(splits.labels[index] for index in best)]
    )
    return replace(splits, train=train), len(extra)
