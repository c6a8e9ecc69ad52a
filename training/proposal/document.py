"""A plan as an experiment file: YAML with the reason for each choice beside it."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from training.proposal.plan import CandidatePlan, Plan
from training.proposal.profile import Profile

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
