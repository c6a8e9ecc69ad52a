"""Checks before training: weights, tokenizers and texts fit together; data checks of an experiment."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stores.names import file_name
from training.config.distillation import DistillationConfig
from training.config.network import HeadConfig, NetworkConfig
from training.data import LoadedData, Splits, load_data, split_data
from training.data.checks import Reader, check_data
from training.data.findings import Findings
from training.data.plots import write_data_page
from training.errors import NoCandidateLeft, TrainingError
from training.experiment.schema import Experiment
from training.kinds.candidate import Candidate
from training.settings import TrainingSettings

if TYPE_CHECKING:
    from training.models.weights import Loaded


def readers_of(candidates: Mapping[str, Candidate]) -> dict[str, Reader]:
    """Network → its reader; without those whose tokenizer cannot be loaded, which `preflight` refuses."""
    networks = {
        name: item for name, item in candidates.items() if isinstance(item, NetworkConfig | HeadConfig)
    }
    if not networks:
        return {}
    from training.models.weights import load_tokenizer  # takes seconds to import

    tokenizers = {}
    for weights in {item.weights for item in networks.values()}:
        try:
            tokenizers[weights] = load_tokenizer(weights)
        except TrainingError:
            continue

    def reader(config: NetworkConfig | HeadConfig) -> Reader:
        tokenizer = tokenizers[config.weights]

        def count(texts: Sequence[str]) -> list[int]:
            # `verbose=False`: it warns of texts longer than its model reads, which is what is counted.
            return [len(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]

        return Reader(config.max_length, count)

    return {name: reader(config) for name, config in networks.items() if config.weights in tokenizers}


_TEXTS = 500
"""Training texts that the tokenizer is tried on, evenly spread over the part."""


@dataclass(frozen=True)
class Preflight:
    """What was found, by candidate."""

    refused: dict[str, TrainingError] = field(default_factory=dict)
    """Candidate → why it cannot be trained. It fails again when its turn comes, so that its failure is recorded with
    the run; the others are trained."""
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Candidate → what differs from what one might expect, and is accepted."""

    def stop_if_none_left(self, experiment: Experiment) -> None:
        """Raise NoCandidateLeft where every candidate that may win is refused."""
        eligible = [name for name in experiment.candidates if experiment.may_win(name)]
        if eligible and all(name in self.refused for name in eligible):
            raise NoCandidateLeft(
                f"no candidate of {experiment.name} that may win can be trained: "
                + "; ".join(f"{name}: {self.refused[name]}" for name in eligible)
            )


def check_networks(candidates: Mapping[str, Candidate], splits: Splits) -> Preflight:
    """Check every candidate that starts from weights (`network`, `head`); a student starts from its teacher.

    Takes a second or two for each network. `WeightsMissing` and `WeightsUnsuitable` say what is checked.
    """
    found = Preflight()
    networks = {
        name: config
        for name, config in candidates.items()
        if isinstance(config, NetworkConfig | HeadConfig) and not isinstance(config, DistillationConfig)
    }
    if not networks:
        return found
    # Imported when needed: torch and transformers take seconds.
    from transformers.utils import logging as transformers_logging

    from training.models.weights import load_weights

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    started = [(name, start) for name, config in networks.items() for start in _starts(config)]
    for weights in dict.fromkeys(start.weights for _, start in started):
        sharing = [(name, start) for name, start in started if start.weights == weights]
        try:
            loaded = load_weights(weights, splits.labels)
        except TrainingError as error:
            found.refused.update({name: error for name, _ in sharing})
            continue
        for name, start in sharing:
            try:
                notes = check_network(start, loaded, splits.train.texts)
            except TrainingError as error:
                found.refused[name] = error
            else:
                if notes:
                    found.notes[name] = (*found.notes.get(name, ()), *notes)
        del loaded
        gc.collect()  # one network in memory at a time
    return found


def _starts(config: NetworkConfig | HeadConfig) -> list[NetworkConfig | HeadConfig]:
    """What is trained from weights for one candidate: itself, and teachers that start from other weights."""
    if (
        isinstance(config, HeadConfig)
        or config.self_training is None
        or config.self_training.teacher_weights is None
    ):
        return [config]
    from training.semi_supervised.self_training import teacher_config

    return [config, teacher_config(config)]


def check_network(config: NetworkConfig | HeadConfig, loaded: Loaded, texts: Sequence[str]) -> list[str]:
    """Check one candidate against its loaded weights and the training texts; returns notes.

    Raises:
        WeightsMissing: the network has too few layers.
        WeightsUnsuitable: it cannot read texts of `max_length` tokens, or its tokenizer does not know their words.
    """
    from training.finetuning.trainer import precision_note
    from training.models.weight_checks import check_forward, check_length, check_texts, length_notes
    from training.models.weights import check_layers

    network, tokenizer = loaded.network, loaded.tokenizer
    if config.layers is not None:
        check_layers(network, config.layers)
    check_length(network, config.max_length)
    step = max(1, len(texts) // _TEXTS)
    notes = check_texts(tokenizer, texts[::step][:_TEXTS], config.max_length, limit=config.max_unknown)
    check_forward(network, tokenizer, config.max_length)
    notes = [*loaded.notes, *length_notes(network, tokenizer, config.max_length), *notes]
    if isinstance(config, HeadConfig):
        return notes
    if config.pooling == "model":
        notes += loaded.head_notes
    return [*notes, *filter(None, [precision_note(config.schedule)])]


def check_experiment(experiment: Experiment) -> tuple[Findings, Path]:
    """Load, split and check the data of `experiment`; returns what was found and the page that shows it.

    Raises:
        DataError: the data cannot be read or split.
    """
    loaded = load_data(experiment.data, experiment.seed)
    splits = split_data(loaded, experiment.data, experiment.seed)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    folder = TrainingSettings().reports / f"{file_name(experiment.name)}-data-{stamp}"
    findings = check_experiment_data(experiment, loaded, splits)
    write_data_page(folder, findings, splits, experiment.name)
    return findings, folder / "data.html"


def check_experiment_data(experiment: Experiment, loaded: LoadedData, splits: Splits) -> Findings:
    """Check data that is loaded and split, as the candidates' networks will read them."""
    readers = readers_of(experiment.candidates)
    return check_data(loaded, splits, experiment.data, seed=experiment.seed, readers=readers)
