"""`python -m training new FILE`: profile a file, measure the machine, and write an experiment with its reasons."""

from __future__ import annotations

import random
import re
import shlex
import tempfile
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.markup import escape
from torch.nn import functional
from transformers.utils import logging as transformers_logging

from stores.settings import TrackingSettings
from training.data import DataConfig
from training.errors import DataRefused, ExperimentInvalid
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment
from training.models.pooling import mean_pooled, sentence_vectors
from training.models.weights import load_network
from training.proposal.plan import MINILM, CandidatePlan, Plan, Timing, make_plan
from training.proposal.profile import Profile, read_profile

_WIDTH = 110


def experiment_text(name: str, path: Path, profile: Profile, plan: Plan) -> str:
    """The YAML, to be written to `path`, of the experiment called `name` for the file that `profile` describes."""
    file_name = Path(profile.data.source).name
    lines = [
        *_comment(
            f"Written by `python -m training new {shlex.quote(file_name)}`, to be changed as you like."
        ),
        *_comment(f"Train:     python -m training run {shlex.quote(str(path))}"),
        *_comment("What a key means:  python -m training explain candidates.head.C"),
        f"name: {_value(name)}",
        f"description: {_value(_description(file_name, profile))}",
        *_comment(f"The winner is registered under this name; the service serves it with MODEL_NAME={name}."),
        f"model_name: {_value(name)}",
        "seed: 42",
        "",
        *_data(profile, plan),
        "",
        *_comment(_candidates_reason(plan)),
        "candidates:",
    ]
    for candidate in plan.candidates:
        lines += _candidate(candidate)
    lines += [
        "",
        *_comment("Every kind may win: the best macro-F1 on the validation part, the cheaper one of equals."),
        "baselines_may_win: true",
        *_comment(
            "Whether the winner is trained again on all texts with labels after evaluation. Its metrics remain "
            "those of the evaluated model, trained on the train part only."
            + (" With so few texts that is worth more than anything else." if plan.fit_all else "")
        ),
        f"fit_all: {_value(plan.fit_all)}",
    ]
    return "\n".join(lines) + "\n"


def _data(profile: Profile, plan: Plan) -> Iterator[str]:
    data, columns = profile.data, profile.columns
    yield "data:"
    # Absolute: the experiment is also run from other directories, and by a retraining.
    yield f"  source: {_value(data.source)}"
    texts: Any = columns.texts[0] if len(columns.texts) == 1 else list(columns.texts)
    yield from _comment(f"Columns were found {columns.reason}.", 2) if columns.reason != "as given" else ()
    yield f"  text_column: {_value(texts)}"
    if profile.other_texts:
        yield "  # Other columns hold free text, too. To join them:"
        yield f"  # text_column: {_value(profile.other_texts)}"
    yield f"  label_column: {_value(columns.label)}"
    for key in ("header", "delimiter", "encoding", "quote"):
        value = getattr(data, key, None)
        if value != type(data).model_fields[key].default:
            yield f"  {key}: {_value(value)}"
    if columns.other_labels:
        yield from _comment(f"Not used, with a usual name for a label: {', '.join(columns.other_labels)}", 2)
    if data.label_bins:
        yield from _comment(
            "The labels are numbers, and classes are needed: these bounds are a guess, so look at them first.",
            2,
        )
        yield f"  label_bins: {_value(data.label_bins)}"
    if profile.variants:
        shown = "; ".join(str(variant) for variant in profile.variants[:5])
        yield from _comment(f"Classes that differ by spelling only: {shown}. To join them:", 2)
        yield "  # join_label_variants: true"
    if plan.small_classes:
        named = ", ".join(plan.small_classes[:10])
        more = ", …" if len(plan.small_classes) > 10 else ""
        yield from _comment(
            f"Too few texts for every part: {named}{more}. `drop` leaves these classes out; add texts, or "
            "merge them into other classes with label_names: {old name: new name}.",
            2,
        )
        yield "  small_classes: drop"
    for key in ("max_refused", "max_unlabelled"):
        if (value := getattr(data, key)) != type(data).model_fields[key].default:
            yield from _comment(f"{profile.loaded.counts.reasons()}; the default limit is lower.", 2)
            yield f"  {key}: {_value(value)}"
    yield from _comment(plan.split_reason, 2)
    shares = ", ".join(f"{name}: {share:g}" for name, share in plan.split.items())
    yield f"  split: {{{shares}, holdout: 0}}"


def _candidate(candidate: CandidatePlan) -> Iterator[str]:
    reason = candidate.reason
    if candidate.seconds is not None and candidate.seconds >= 1:
        reason += (
            f" Training takes at most about {duration(candidate.seconds)} on this machine when it is idle."
        )
    if candidate.left_out:
        reason += f" Left out: {candidate.left_out}."
    lines = [
        f"  {candidate.name}:",
        *(f"    {key}: {_value(value)}" for key, value in candidate.settings.items()),
    ]
    yield from _comment(reason, 2)
    # One character for another, so that a person takes the mark away and it is valid.
    yield from ("  # " + line[2:] for line in lines) if candidate.left_out else lines


def _candidates_reason(plan: Plan) -> str:
    said = "From cheap to expensive."
    if plan.seconds >= 1:
        said += f" All together take at most about {duration(plan.seconds)} here; the step they take was measured."
    return f"{said} {plan.length_reason}"


def _description(file_name: str, profile: Profile) -> str:
    return f"{len(profile.loaded):,} texts of {file_name} in {len(profile.figures.classes)} classes."


def duration(seconds: float) -> str:
    """`50 s`, `12 min`, `1.5 h`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _comment(text: str, indent: int = 0) -> list[str]:
    begin = " " * indent + "# "
    # A comment ends with its line: names and labels of a file must not end it.
    plain = "".join(character if character.isprintable() else " " for character in text)
    return textwrap.wrap(
        plain,
        _WIDTH,
        initial_indent=begin,
        subsequent_indent=begin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _value(value: Any) -> str:
    """`value` as YAML on one line."""
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("...\n").strip()


_TEXTS = 32
_BATCH = 16


def measure(texts: Sequence[str], length: int, *, seed: int) -> Timing:
    """Seconds a text of embedding and of training MiniLM on some of `texts`, cut to `length` tokens.

    Each is done twice, and the quicker counts: the first pass of a network allocates its memory. What is measured is
    the processor time of a thread, so that a machine that is busy for the moment does not count as a slow one.
    """
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    sample = random.Random(seed).sample(list(texts), min(_TEXTS, len(texts)))
    loaded, tokenizer = load_network(MINILM, ("a", "b"), None)
    network = mean_pooled(loaded)
    embed = _quicker(lambda: sentence_vectors(network, tokenizer, sample, max_length=length))
    network.train(True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)
    batch = tokenizer(sample[:_BATCH], truncation=True, max_length=length, padding=True, return_tensors="pt")
    truth = torch.zeros(len(batch["input_ids"]), dtype=torch.long)

    def step() -> None:
        loss = functional.cross_entropy(network(**batch).logits, truth)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimiser.step()
        optimiser.zero_grad()

    return Timing(embed / len(sample), _quicker(step) / len(truth))


def _quicker(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(2):
        started = time.process_time()
        work()
        seconds.append((time.process_time() - started) / torch.get_num_threads())
    return min(seconds)


_LONGEST_NAME = 60
_MOST_SMALL = 0.2
"""Share of the texts in classes too small for the split past which the label column is probably the wrong one."""
_SEED = 42


def propose(
    data: DataConfig,
    *,
    texts: Sequence[str] = (),
    label: str | None = None,
    name: str | None = None,
    out: Path | None = None,
    fit_all: bool = False,
    force: bool = False,
    console: Console,
) -> tuple[Path, bool]:
    """Write an experiment for the file `data.source`; its path, and whether its classes are ranges that were guessed.

    Args:
        data: how the file is to be read.
        texts: columns of the text; none: they are found.
        label: column of the label; None: it is found.
        name: of the experiment and the registered model; None: after the file.
        out: the YAML file to write; None: NAME.yaml in the working directory.
        fit_all: whether the winner is to be refitted on all texts.
        force: whether an existing file is replaced.
        console: where what was found is printed.

    Raises:
        ExperimentInvalid: the YAML file exists, or has no name of a YAML file.
        TableError, DataError: the file cannot be read, or there is too little to learn from.
    """
    source = Path(data.source).expanduser().resolve()
    name = name_of(name or source.name, given=name is not None)
    path = out or Path(f"{name}.yaml")
    _check_writable(path, force=force)
    profile = read_profile(data.model_copy(update={"source": str(source)}), texts, label)
    _refuse_hopeless(profile)
    console.print(profile)
    plan = make_plan(profile.figures)
    timing = measure(profile.loaded.texts, plan.max_length, seed=_SEED)
    plan = make_plan(profile.figures, timing, fit_all=fit_all)
    _tell(plan, console)
    if name == TrackingSettings.model_fields["model_name"].default:
        console.print(
            f"The model would be called {name!r}, as the demo's is: --name gives it another name.",
            highlight=False,
        )
    _write(path, experiment_text(name, path, profile, plan))
    console.print(
        f"Written: {escape(str(path))}. Train with `python -m training run {escape(str(path))}`",
        highlight=False,
        soft_wrap=True,
    )
    return path, bool(profile.data.label_bins)


def name_of(text: str, *, given: bool = False) -> str:
    """A name that MLflow, a file and an address can have: ASCII letters, digits, `-` and `_`.

    Args:
        text: a file's name, whose suffixes are left out, or a name that was given.
        given: whether it was given.

    Raises:
        ExperimentInvalid: a name that was given has other characters.
    """
    if given:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", text):
            raise ExperimentInvalid(f"--name {text!r}: letters, digits, '_' and '-' make a name")
        return text
    stem = re.sub(r"(\.[A-Za-z]{1,8}){1,2}$", "", text)
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", ascii_only).strip("_")[:_LONGEST_NAME].strip("_")
    return name or "own_texts"


def after_training(experiment: Experiment) -> list[str]:
    """What to do with the model that a run has registered."""
    name = experiment.registered_name("")
    return [
        f"Serve it:       MODEL_NAME={name} make serve      (or MODEL_NAME={name} in .env, for every command)",
        f"Evaluate it:    python -m training evaluate champion --name {name} --data labelled.csv",
        f"Score a file:   MODEL_NAME={name} python -m service.batch in.csv out.csv",
        f"Monitor it:     MODEL_NAME={name} python -m monitoring check --window 24h",
    ]


def _check_writable(path: Path, *, force: bool) -> None:
    if path.suffix not in (".yaml", ".yml"):
        raise ExperimentInvalid(f"--out {path} must end in .yaml")
    if path.exists() and not force:
        raise ExperimentInvalid(
            f"{path} exists and may hold changes of yours: --force replaces it, --out names another"
        )


def _refuse_hopeless(profile: Profile) -> None:
    """Raise DataRefused where most classes are so small that it is probably the wrong column."""
    plan = make_plan(profile.figures)
    classes, small = profile.figures.classes, plan.small_classes
    texts = sum(classes[label] for label in small)
    if len(classes) - len(small) >= 2 and texts <= _MOST_SMALL * profile.figures.texts:
        return
    shown = ", ".join(f"{label!r} ({classes[label]})" for label in small[:5])
    raise DataRefused(
        f"{len(small):,} of {len(classes):,} classes in the column {profile.columns.label!r} have too few texts to "
        f"train, validate and test on (three at least, no copies): {shown}{', …' if len(small) > 5 else ''}. Is it the "
        "right column (--label-column)? Else add texts, or merge classes"
    )


def _tell(plan: Plan, console: Console) -> None:
    said = [plan.split_reason, plan.length_reason, *plan.remarks]
    for sentence in said:
        console.print(escape(sentence), highlight=False)
    for item in plan.candidates:
        time = f", at most about {duration(item.seconds)}" if item.seconds and item.seconds >= 1 else ""
        left_out = f" Left out: {item.left_out}." if item.left_out else ""
        console.print(f"  {item.name}{time}: {escape(item.reason)}{left_out}", highlight=False)


def _write(path: Path, text: str) -> None:
    """Write the file whole, after it was read back as an experiment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        part = Path(folder) / path.name
        part.write_text(text, encoding="utf-8")
        load_experiment(str(part))
        part.replace(path)
