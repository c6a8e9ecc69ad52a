"""A whole training run: data → candidates → evaluation → gate → registry, each step into MLflow."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from rich.console import Console
from rich.progress import Progress

from classifier import Classifier, seal_bundle
from classifier.reference import reference_frame, write_reference
from stores.models import ModelRegistry, RegisteredModel, tags_of
from stores.settings import SigningSettings, TrackingSettings
from training.behaviour.running import behave
from training.candidates.trained import Workplace
from training.candidates.training import train_candidate
from training.data import LoadedData, Part, Splits, load_data, split_data
from training.data.checks.finding import Findings
from training.data_check import check_experiment_data
from training.distillation.verdict import write_student_sentences
from training.error_analysis.label_errors import probable_label_errors, write_label_errors
from training.error_analysis.report import write_error_analysis
from training.errors import NoCandidateLeft
from training.experiment import Experiment
from training.gate.contenders import current_champion
from training.gate.decision import Decision, decide
from training.gate.page import write_gate_pages
from training.judging import Judged, judge
from training.progress import training_progress
from training.report import (
    baseline_sentences,
    closing_table,
    smoke_sentences,
    write_bundle_report,
    write_json,
    write_run_report,
)
from training.settings import TrainingSettings

_GOLDEN_LENGTH = 400


@dataclass
class Outcome:
    """What a run left behind."""

    run_id: str
    report: Path
    """Folder of pictures and figures."""
    judged: list[Judged] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Candidate → why it failed."""
    winner: str = ""
    version: RegisteredModel | None = None
    decision: Decision | None = None


def run_experiment(experiment: Experiment, *, console: Console | None = None) -> Outcome:
    """Train and judge every candidate, and register the best; settings come from the environment.

    Raises:
        DataError: the data cannot be used.
        NoCandidateLeft: every candidate that may win has failed; the failures are in MLflow.
        StoreError: the registry does not answer.
    """
    console = console or Console()
    tracking = TrackingSettings()
    tracking = tracking.model_copy(update={"model_name": experiment.registered_name(tracking.model_name)})
    registry = ModelRegistry(tracking)
    for sentence in smoke_sentences(experiment, registry.name):
        console.print(sentence, highlight=False, soft_wrap=True)
    loaded = load_data(experiment.data, experiment.seed)
    splits = split_data(loaded, experiment.data, experiment.seed)
    console.print(splits.report)

    with _folders(experiment) as (report, scratch), registry.run(experiment.name, experiment.name) as parent:
        outcome = Outcome(parent.info.run_id, report)
        mlflow.set_tags({"kind": "experiment", "seed": str(experiment.seed), "data": splits.fingerprint})
        mlflow.set_tags(experiment.smoke_tags())
        mlflow.log_text(experiment.as_yaml(), "experiment.yaml")
        console.print(_log_data(loaded, splits, experiment, report))
        with training_progress(console) as progress:
            for name in experiment.candidates:
                _try_candidate(name, experiment, splits, registry, scratch, progress, outcome)
        winner = _winner(experiment, outcome)
        write_run_report(report, experiment, outcome.judged, winner)
        console.print(
            closing_table(experiment, outcome.judged, outcome.failed, winner.name if winner else None)
        )
        if winner is None:
            mlflow.log_artifacts(str(report), "report")
            raise NoCandidateLeft(
                f"no candidate of {experiment.name} that may win is left: "
                + "; ".join(f"{name}: {why}" for name, why in outcome.failed.items())
            )
        outcome.winner = winner.name
        for sentence in baseline_sentences(experiment, outcome.judged, winner, splits):
            console.print(sentence, highlight=False)
        for sentence in write_student_sentences(report, experiment, outcome.judged, splits):
            console.print(sentence, highlight=False)
        console.print(_look_for_label_errors(experiment, winner, splits, report), highlight=False)
        outcome.decision = _at_the_gate(experiment, winner, splits, registry, report)
        outcome.version = _register(experiment, winner, splits, registry, outcome)
        mlflow.log_artifacts(str(report), "report")
    for reason in outcome.decision.reasons:
        console.print(reason, highlight=False)
    console.print(
        f"[bold]{winner.name}[/] is version {outcome.version.version} of {outcome.version.name}: "
        f"[bold]{outcome.decision.alias}[/]. Pictures and figures: {report}",
        highlight=False,
        soft_wrap=True,
    )
    return outcome


def _try_candidate(
    name: str,
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    scratch: Path,
    progress: Progress,
    outcome: Outcome,
) -> None:
    """Train and judge one candidate in a nested run; a failure is recorded and loses nobody else's results."""
    config = experiment.candidates[name]
    workplace = Workplace(
        name, scratch / name / "bundle", scratch / name, experiment.seed, progress, registry
    )
    workplace.bundle.mkdir(parents=True)
    try:
        with registry.run(experiment.name, name, nested=True):
            mlflow.set_tags(
                {"kind": "candidate", "candidate": name, "baseline": str(config.baseline).lower()}
            )
            mlflow.set_tags(experiment.smoke_tags())
            mlflow.log_params(config.model_dump(exclude={"note"}))
            _log_inputs(splits, experiment)
            try:
                trained = train_candidate(config, splits, workplace)
                pictures = outcome.report / name
                judged = judge(
                    name, trained, splits, workplace.bundle, pictures, experiment.gate, seed=experiment.seed
                )
            except Exception as error:
                mlflow.set_tag("failure", f"{type(error).__name__}: {error}"[:5000])
                raise
            write_error_analysis(
                pictures, judged, splits.test, experiment.analysis, experiment.gate.confidence
            )
            mlflow.log_metrics(judged.metrics())
            mlflow.log_artifacts(str(pictures), "pictures")
    except Exception as error:  # whatever it is: hours of the other candidates' training hang on it
        outcome.failed[name] = f"{type(error).__name__}: {error}"
        progress.console.print(f"[red]{name} failed:[/] {error}", highlight=False)
    else:
        outcome.judged.append(judged)
    finally:
        shutil.rmtree(workplace.scratch / "checkpoints", ignore_errors=True)


def _winner(experiment: Experiment, outcome: Outcome) -> Judged | None:
    """The best by macro-F1 on the validation part of those that may win; of equals, the cheaper to serve."""
    eligible = [item for item in outcome.judged if experiment.may_win(item.name)]
    return max(
        eligible,
        key=lambda item: (item.validation.macro_f1.value, -item.milliseconds),
        default=None,
    )


def _look_for_label_errors(experiment: Experiment, winner: Judged, splits: Splits, report: Path) -> str:
    """Write `label_errors.csv`, note how many there are, and say so in a sentence."""
    errors = probable_label_errors(
        splits,
        winner.validation_predictions.probabilities,
        winner.test_predictions.probabilities,
        experiment.analysis,
        seed=experiment.seed,
    )
    counts = {part: sum(error.part == part for error in errors) for part in ("train", "validation", "test")}
    mlflow.log_metrics({f"probable_label_errors_{part}": float(count) for part, count in counts.items()})
    if not errors:
        return "No label looks wrong." if experiment.analysis.label_errors else ""
    write_label_errors(report / "label_errors.csv", errors)
    said = ", ".join(f"{count} in {part}" for part, count in counts.items())
    return f"{len(errors)} labels look wrong ({said}): label_errors.csv in the report lists them for a person to check."


def _at_the_gate(
    experiment: Experiment, winner: Judged, splits: Splits, registry: ModelRegistry, report: Path
) -> Decision:
    """Try the winner's behaviour, compare it with the champion, and write the page that shows both."""
    classifier = Classifier.load(winner.bundle, verify=False)
    behaviour = behave(classifier, splits.train, splits.test, experiment.behaviour, seed=experiment.seed)
    mlflow.log_metrics(behaviour.metrics())
    champion = current_champion(registry, splits, signing_key=SigningSettings().key)
    decision = decide(
        winner.contender, splits.test, champion, experiment.gate, seed=experiment.seed, behaviour=behaviour
    )
    own, travelling = report / "gate.html", winner.bundle / "report" / "gate.html"
    write_gate_pages(
        {own: True, travelling: experiment.analysis.texts_in_bundle},
        experiment.name,
        winner,
        decision,
        champion,
        behaviour,
        splits.test,
        experiment.gate,
    )
    write_json(report / "behaviour.json", behaviour.as_dict(texts=True))
    return decision


def _register(
    experiment: Experiment, winner: Judged, splits: Splits, registry: ModelRegistry, outcome: Outcome
) -> RegisteredModel:
    """Seal the winner's bundle, log it, register it, and give it the alias that the gate decided on."""
    assert outcome.decision is not None
    bundle, decision = winner.bundle, outcome.decision
    frame = reference_frame(
        splits.test.texts, splits.test.labels, winner.test_predictions, winner.description.labels
    )
    write_reference(bundle, frame)
    write_bundle_report(bundle, outcome.report, experiment, winner, decision)
    seal_bundle(
        bundle,
        winner.description,
        golden_texts=_golden_texts(splits.validation),
        data={
            "source": splits.report.source,
            "fingerprint": splits.fingerprint,
            "train_fingerprint": splits.train.fingerprint,
            "test_fingerprint": splits.test.fingerprint,
            "experiment": experiment.name,
            "seed": experiment.seed,
            **experiment.smoke_tags(),
        },
        signing_key=SigningSettings().key,
    )
    facts: dict[str, Any] = {
        "experiment": experiment.name,
        "candidate": winner.name,
        "data": splits.fingerprint,
        "config": hashlib.sha256(experiment.as_yaml().encode()).hexdigest(),
        "seed": experiment.seed,
        "validation_macro_f1": winner.validation.macro_f1.value,
        "test_macro_f1": winner.test.macro_f1.value,
        "test_macro_f1_low": winner.test.macro_f1.low,
        "test_macro_f1_high": winner.test.macro_f1.high,
        "test_accuracy": winner.test.accuracy.value,
        "test_calibration_error": winner.test.calibration_error.value,
        "megabytes": winner.megabytes,
        "milliseconds_a_text": winner.milliseconds,
        "milliseconds_a_text_p95": winner.cost.milliseconds_p95,
    }
    tags = {**tags_of(facts), **experiment.smoke_tags(), **decision.tags()}
    version = registry.register(registry.log_bundle(bundle), tags=tags)
    mlflow.log_metrics({f"winner_{key}": value for key, value in winner.metrics().items()})
    mlflow.set_tags({"winner": winner.name, "version": version.version, **decision.tags()})
    mlflow.log_text(decision.as_markdown(winner.name, experiment.name), "decision.md")
    return (registry.promote if decision.promoted else registry.challenge)(version.version)


def _golden_texts(validation: Part) -> list[str]:
    """One text a label, cut short: they travel with the model."""
    first: dict[str, str] = {}
    for text, label in validation:
        first.setdefault(label, text[:_GOLDEN_LENGTH])
    return [first[label] for label in sorted(first)]


def _log_data(loaded: LoadedData, splits: Splits, experiment: Experiment, report: Path) -> Findings:
    """The data as MLflow data sets, figures and a page with pictures, and what its checks found.

    Raises:
        DataRefused: a finding is so grave that nothing is trained; the page is in MLflow.
    """
    _log_inputs(splits, experiment)
    mlflow.log_dict(splits.report.as_dict(), "data.json")
    findings = check_experiment_data(experiment, loaded, splits, report / "data")
    mlflow.log_dict(findings.as_dict(), "data_checks.json")
    mlflow.log_metrics(findings.metrics())
    if findings.worst() == "error":
        mlflow.log_artifacts(str(report), "report")
    findings.stop_if_grave()
    return findings


def _log_inputs(splits: Splits, experiment: Experiment) -> None:
    """The parts as MLflow data sets of the active run, by their fingerprints."""
    import pandas as pd
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    for name, part in splits.parts().items():
        if name == "reserve" or not len(part):  # the reserve is nobody's input
            continue
        dataset = from_pandas(
            pd.DataFrame({"text": part.texts, "label": part.labels}),
            # Not a string, which MLflow would take for a path or an address.
            source=CodeDatasetSource({"source": splits.report.source}),
            targets="label",
            name=f"{Path(experiment.data.source).name}-{name}",
            digest=part.fingerprint[:36],
        )
        mlflow.log_input(dataset, context=name)


@contextmanager
def _folders(experiment: Experiment) -> Iterator[tuple[Path, Path]]:
    """The run's report folder, which stays, and its scratch folder, which does not."""
    settings = TrainingSettings()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    report = settings.reports / f"{experiment.name}-{stamp}"
    report.mkdir()
    scratch = Path(tempfile.mkdtemp(prefix=f"{experiment.name}-", dir=settings.scratch))
    try:
        yield report, scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
