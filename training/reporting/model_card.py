"""`model_card.md`: the winner, in the model card format of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from classifier.runtime import runtimes
from stores.names import markdown_cell
from training.data import Splits
from training.data.findings import Findings
from training.evaluation.candidate import CandidateResult
from training.evaluation.intervals import Interval
from training.experiment.schema import Experiment
from training.gate.decision import Decision
from training.kinds.candidate import Candidate

CARD = "model_card.md"

_UNSURE = "unsure"


def write_model_card(
    folder: Path,
    name: str,
    experiment: Experiment,
    winner: CandidateResult,
    splits: Splits,
    findings: Findings,
    decision: Decision,
) -> Path:
    """Write `model_card.md` into `folder` and return its path. It quotes no text of the data.

    Args:
        folder: where the card goes.
        name: name of the registered model.
        experiment: what was run.
        winner: the candidate that is registered.
        splits: the data it was trained and tested on.
        findings: results of the data checks, with the languages of a sample of the texts.
        decision: what the gate decided.
    """
    sections = [
        f"---\n{_metadata(name, experiment, winner, splits, findings).to_yaml()}\n---",
        f"# {name}",
        _description(experiment, winner, splits),
        "## Intended use",
        _intended_use(winner, splits),
        "## How to use",
        _usage(winner),
        "## Training data",
        _data(splits, findings),
        "## Training procedure",
        _procedure(experiment.candidates[winner.name], winner),
        "## Evaluation",
        _evaluation(winner, experiment.gate.confidence),
        "## Gate",
        "\n".join(f"- {reason}" for reason in decision.reasons),
        "## Limitations",
        _limitations(winner, splits, findings),
    ]
    path = folder / CARD
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def main_language(findings: Findings) -> str | None:
    """ISO 639-1 code of the language that most texts of the sample are in; None where none was recognised."""
    known = {language: count for language, count in findings.languages.items() if language != _UNSURE}
    return max(known, key=known.__getitem__) if known else None


def _metadata(
    name: str, experiment: Experiment, winner: CandidateResult, splits: Splits, findings: Findings
) -> ModelCardData:
    dataset = Path(splits.report.source).name
    figures = {"f1": ("Macro F1", winner.test.macro_f1), "accuracy": ("Accuracy", winner.test.accuracy)}
    weights = getattr(experiment.candidates[winner.name], "weights", None)
    return ModelCardData(
        language=main_language(findings),
        library_name=runtimes()[winner.description.kind].library,
        pipeline_tag="text-classification",
        tags=["text-classification", "champion"],
        base_model=weights,
        metrics=list(figures),
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_split="test",
                metric_type=kind,
                metric_name=shown,
                metric_value=round(interval.value, 4),
            )
            for kind, (shown, interval) in figures.items()
        ],
    )


def _description(experiment: Experiment, winner: CandidateResult, splits: Splits) -> str:
    kind = experiment.candidates[winner.name].kind
    described = f" {experiment.description}" if experiment.description else ""
    return (
        f"A text classifier with {len(splits.labels)} classes: candidate `{winner.name}` (kind `{kind}`) of the "
        f"experiment `{experiment.name}`.{described}"
    )


def _intended_use(winner: CandidateResult, splits: Splits) -> str:
    reads = (
        f"It reads the first {winner.description.max_length} tokens of a text."
        if winner.description.max_length
        else "It reads the whole text."
    )
    labels = "\n".join(f"- {markdown_cell(label)}" for label in splits.labels)
    return (
        f"It gives each text one of these labels, with a calibrated probability. {reads} A text that belongs to none "
        f"of them still gets one.\n\n{labels}"
    )


def _usage(winner: CandidateResult) -> str:
    return (
        "The folder that this card came with is a bundle. In Python:\n\n"
        "```python\n"
        "from classifier import Classifier\n\n"
        'model = Classifier.load("path/of/the/bundle")\n'
        'probabilities = model.predict(["a text"])  # (1, number of labels), in the order of model.labels\n'
        "```\n\n"
        f"It loads {winner.megabytes:.1f} MB and takes {winner.milliseconds:.1f} ms for one text (median on the "
        "machine that trained it)."
    )


def _data(splits: Splits, findings: Findings) -> str:
    balance = splits.report.balance
    parts = ", ".join(f"{part} {len(texts):,}" for part, texts in splits.parts().items() if len(texts))
    rows = "\n".join(
        f"| {markdown_cell(label)} | {balance['train'].get(label, 0):,} | {balance['test'].get(label, 0):,} |"
        for label in splits.labels
    )
    languages = ", ".join(f"{language} {count}" for language, count in findings.languages.items())
    sampled = f" Languages of a sample: {languages}." if languages else ""
    return (
        f"Source: `{splits.report.source}`, fingerprint `{splits.fingerprint[:16]}`. Texts: {parts}.{sampled}\n\n"
        f"| label | training texts | test texts |\n|---|---|---|\n{rows}"
    )


def _procedure(config: Candidate, winner: CandidateResult) -> str:
    settings = {
        key: value
        for key, value in config.model_dump(mode="json", exclude_defaults=True).items()
        if key not in ("note", "kind", "baseline")
    }
    lines = [f"- `{key}`: {value}" for key, value in settings.items()] or ["- every setting at its default"]
    if seconds := winner.trained.figures.get("training_seconds"):
        lines.append(f"- training took {seconds:.0f} seconds")
    lines.append(
        f"- calibrated on the validation part by temperature scaling, temperature {winner.description.temperature:.2f}"
    )
    return "\n".join(lines)


def _evaluation(winner: CandidateResult, confidence: float) -> str:
    test = winner.test
    figures = {
        "macro-F1": test.macro_f1,
        "accuracy": test.accuracy,
        "macro precision": test.macro_precision,
        "macro recall": test.macro_recall,
        "expected calibration error": test.calibration_error,
        "log loss (nats)": test.log_loss,
    }
    rows = "\n".join(f"| {name} | {interval} |" for name, interval in figures.items())
    classes = "\n".join(
        f"| {markdown_cell(label)} | {scores.texts:,} | {_short(scores.precision)} | {_short(scores.recall)} "
        f"| {scores.f1} |"
        for label, scores in test.classes.items()
    )
    return (
        f"On {test.texts:,} test texts that no choice has seen; {confidence:.0%} confidence intervals.\n\n"
        f"| figure | value (interval) |\n|---|---|\n{rows}\n\n"
        f"| class | texts | precision | recall | F1 (interval) |\n|---|---|---|---|---|\n{classes}"
    )


def _limitations(winner: CandidateResult, splits: Splits, findings: Findings) -> str:
    lines = [
        "- The figures hold for texts like the test texts. Texts of another source, language or time may be answered "
        "worse.",
    ]
    weakest = min(winner.test.classes.items(), key=lambda item: item[1].f1.value)
    lines.append(
        f"- The weakest class is {weakest[0]}: F1 {weakest[1].f1} on {weakest[1].texts:,} test texts."
    )
    lines += [f"- Data check: {found.words}" for found in findings.findings if found.severity != "note"]
    smallest = min(splits.report.balance["train"].items(), key=lambda item: item[1])
    lines.append(f"- The class with the fewest training texts is {smallest[0]}, with {smallest[1]:,}.")
    return "\n".join(lines)


def _short(interval: Interval) -> str:
    return f"{interval.value:.3f}"
