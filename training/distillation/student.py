"""The student network: made of the teacher's own layers, and taught."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed
from transformers.utils import logging as transformers_logging

from training.architecture import read_tokenizer
from training.candidates.networks import finished
from training.candidates.trained import Trained, Workplace
from training.candidates.weights import keep_layers, load_network
from training.data import Part, Splits
from training.distillation.config import DistilledConfig
from training.distillation.extra import extra_texts
from training.distillation.objective import LiveTeacher, Objective, RememberedTeacher
from training.distillation.teacher import Teacher, find_teacher
from training.errors import TeacherUnusable
from training.finetuning import finetune
from training.finetuning.regularising import strategies_of


def train_student(config: DistilledConfig, splits: Splits, workplace: Workplace) -> Trained:
    """Make, teach and export the student, as `model.onnx` and `tokenizer.json`.

    Raises:
        TeacherUnusable: the teacher is not there, cannot be run, or knows other labels.
        WeightsMissing: the teacher has not the layers that are asked for.
        DataError: the extra texts cannot be read.
        ParityError: the exported network's probabilities are not the trained one's.
    """
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    teacher = find_teacher(config.teacher, splits, workplace)
    for sentence in teacher.sentences():
        workplace.progress.console.print(f"{workplace.name}: {sentence}", highlight=False)
    lessons, extra = _with_extra_texts(config, splits, teacher, workplace.seed)
    set_seed(workplace.seed)
    student, tokenizer, kept = _beginner(config, teacher, splits)
    objective = Objective(config, _asked(config, teacher, lessons, tokenizer, kept))
    if config.attention_weight and isinstance(objective.teacher, LiveTeacher):
        student.set_attn_implementation("eager")
    strategies = replace(strategies_of(config, lessons), objective=objective)
    history = finetune(student, tokenizer, config, lessons, workplace, strategies)
    trained = finished(student, tokenizer, config, splits, workplace, history)
    return replace(trained, figures={**trained.figures, "extra_texts": float(extra)})


def _beginner(
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
    """The layers that a student keeps of a teacher with `total` of them: every other one unless told otherwise."""
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
    """How the teacher is asked: at each batch where its inside is wanted, else once for all texts."""
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
