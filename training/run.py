"""A whole training run: data → candidates → evaluation → gate → registry, each step into MLflow."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress
from rich.table import Table

from classifier import Classifier, seal_bundle
from classifier.reference import reference_frame, write_reference
from stores.models import ModelRegistry, RegisteredModel, tags_of
from stores.settings import SigningSettings, TrackingSettings
from training.behaviour.running import behave
from training.candidates.kinds import Candidate
from training.candidates.trained import Trained, Workplace
from training.candidates.training import train_candidate
from training.data import Part, Splits, load_data, split_data
from training.distillation.teacher import pinned_teachers
from training.distillation.verdict import write_student_sentences
from training.error_analysis.label_errors import probable_label_errors, write_label_errors
from training.error_analysis.report import write_error_analysis
from training.errors import CheckpointRefused, NoCandidateLeft
from training.experiment import Experiment
from training.gate.contenders import current_champion
from training.gate.decision import Decision, decide
from training.gate.page import write_gate_pages
from training.judging import Judged, judge
from training.logs import fields
from training.progress import training_progress
from training.report import (
    baseline_sentences,
    closing_table,
    smoke_sentences,
    write_bundle_report,
    write_conclusion,
    write_json,
    write_run_report,
)
from training.resuming import RunFolder, keep_trained, run_folder, trained_before
from training.settings import TrainingSettings
from training.tracking import RECORDS, close_broken_off, flat, log_data, log_inputs, log_records, log_report

if TYPE_CHECKING:
    from optuna import Study  # only an experiment with a search needs it

_GOLDEN_LENGTH = 400
log = logging.getLogger(__name__)


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


def run_experiment(experiment: Experiment, *, console: Console | None = None, fresh: bool = False) -> Outcome:
    """Train and judge every candidate, and register the best; settings come from the environment.

    What a run of the same experiment has left when it was broken off is gone on with, unless `fresh`.

    Raises:
        DataError: the data cannot be used.
        NoCandidateLeft: every candidate that may win has failed; the failures are in MLflow.
        StoreError: the registry does not answer.
    """
    console = console or Console()
    tracking = TrackingSettings()
    tracking = tracking.model_copy(update={"model_name": experiment.registered_name(tracking.model_name)})
    registry = ModelRegistry(tracking)
    experiment = pinned_teachers(experiment, registry)
    for sentence in smoke_sentences(experiment, registry.name):
        console.print(sentence, highlight=False, soft_wrap=True)
    log.info("run_started", extra=fields(experiment=experiment.name, candidates=list(experiment.candidates)))
    loaded = load_data(experiment.data, experiment.seed)
    splits = split_data(loaded, experiment.data, experiment.seed)
    console.print(splits.report)
    log.info(
        "data_divided",
        extra=fields(
            source=splits.report.source,
            fingerprint=splits.fingerprint,
            rows=splits.report.rows.read,
            refused=splits.report.rows.refused,
            texts={name: len(part) for name, part in splits.parts().items()},
            **splits.report.live_facts(),
        ),
    )

    with (
        run_folder(experiment, splits, fresh=fresh) as folder,
        registry.run(experiment.name, experiment.name) as parent,
    ):
        report = folder.report
        outcome = Outcome(parent.info.run_id, report)
        folder.note(parent.info.run_id)
        if folder.broken_off:
            console.print(f"Going on with the run that was broken off: {report}", soft_wrap=True)
            close_broken_off(folder.broken_off, parent.info.run_id, registry)
        mlflow.set_tags({"kind": "experiment", "seed": str(experiment.seed), "data": splits.fingerprint})
        mlflow.set_tags(experiment.smoke_tags())
        if live := splits.report.live_facts():
            mlflow.set_tags(tags_of(live))
            mlflow.log_params(live)
        mlflow.log_text(experiment.as_yaml(), "experiment.yaml")
        console.print(log_data(loaded, splits, experiment, report))
        study: Study | None = None
        with training_progress(console) as progress:
            for name in experiment.candidates:
                _try_candidate(name, experiment, splits, registry, folder, progress, outcome)
            if experiment.search:
                experiment, study = _searched(experiment, splits, registry, folder, progress, outcome)
        winner = _winner(experiment, outcome)
        write_run_report(report, experiment, outcome.judged, winner)
        console.print(
            closing_table(experiment, outcome.judged, outcome.failed, winner.name if winner else None)
        )
        if outcome.judged and (experiment.phases or experiment.search):
            console.print(_balance(experiment, outcome, winner, study))
        if winner is None:
            log_report(report)
            raise NoCandidateLeft(
                f"no candidate of {experiment.name} that may win is left: "
                + "; ".join(f"{name}: {why}" for name, why in outcome.failed.items())
            )
        outcome.winner = winner.name
        for sentence in baseline_sentences(experiment, outcome.judged, winner, splits):
            console.print(sentence, highlight=False)
        for sentence in write_student_sentences(report, experiment, outcome.judged, splits):
            console.print(sentence, highlight=False)
        if conclusion := write_conclusion(report, experiment, outcome.judged, winner, splits):
            console.print(Markdown(conclusion))
        console.print(_look_for_label_errors(experiment, winner, splits, report), highlight=False)
        outcome.decision = _at_the_gate(experiment, winner, splits, registry, report)
        outcome.version = _register(experiment, winner, splits, registry, outcome)
        log_report(report)
        log.info(
            "registered",
            extra=fields(
                model=outcome.version.name,
                version=outcome.version.version,
                alias=outcome.decision.alias,
                reasons=outcome.decision.reasons,
                report=str(report),
            ),
        )
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
    folder: RunFolder,
    progress: Progress,
    outcome: Outcome,
) -> None:
    """Train and judge one candidate in a nested run; a failure is recorded and loses nobody else's results."""
    config = experiment.candidates[name]
    settings = TrainingSettings()
    scratch = folder.candidate(name, config, splits, experiment.seed)
    workplace = Workplace(
        name, scratch / "bundle", scratch, experiment.seed, progress, registry,
        siblings={item.name: item.bundle for item in outcome.judged},
        records=folder.report / RECORDS / name,
        tokens=settings.tokens,
        resume=True,
        signing_key=settings.checkpoint_key,
    )  # fmt: skip
    workplace.bundle.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    log.info("candidate_started", extra=fields(candidate=name, kind=config.kind))
    try:
        with registry.run(experiment.name, name, nested=True):
            mlflow.set_tags(
                {"kind": "candidate", "candidate": name, "baseline": str(config.baseline).lower()}
            )
            mlflow.set_tags(experiment.smoke_tags())
            if phase := experiment.phase_of(name):
                mlflow.set_tag("phase", phase)
            mlflow.log_params(flat(config.model_dump(exclude={"note"})))
            log_inputs(splits, experiment)
            try:
                try:
                    trained = _trained(config, splits, workplace)
                finally:
                    log_records(workplace)
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
        log.exception("candidate_failed", extra=fields(candidate=name))
        progress.console.print(f"[red]{name} failed:[/] {error}", highlight=False)
        if not isinstance(error, CheckpointRefused):  # it is for its owner to look at
            shutil.rmtree(workplace.scratch, ignore_errors=True)
    else:
        outcome.judged.append(judged)
        log.info(
            "candidate_judged",
            extra=fields(
                candidate=name,
                validation_macro_f1=round(judged.validation.macro_f1.value, 4),
                test_macro_f1=round(judged.test.macro_f1.value, 4),
                seconds=round(time.monotonic() - started, 1),
            ),
        )


def _trained(config: Candidate, splits: Splits, workplace: Workplace) -> Trained:
    """Train a candidate, unless it was trained before the run was broken off."""
    before = trained_before(workplace)
    if before is None:
        trained = train_candidate(config, splits, workplace)
        keep_trained(workplace, trained)
        return trained
    workplace.progress.console.print(
        f"{workplace.name}: was trained before the run was broken off", highlight=False
    )
    if before.history.log:
        from training.finetuning.following import log_to_mlflow  # torch takes seconds to import

        log_to_mlflow(before.history.log)
    return before


def _searched(
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    folder: RunFolder,
    progress: Progress,
    outcome: Outcome,
) -> tuple[Experiment, Study | None]:
    """Search, and train what was found as every other candidate; the experiment now has it."""
    from training.search.phase import searched

    known = set(experiment.candidates)
    experiment, study = searched(
        experiment, splits, registry, folder.scratch, outcome.report / "search", progress, outcome.failed,
        parent_run=outcome.run_id,
    )  # fmt: skip
    for name in experiment.candidates:
        if name not in known:
            _try_candidate(name, experiment, splits, registry, folder, progress, outcome)
    return experiment, study


def _balance(experiment: Experiment, outcome: Outcome, winner: Judged | None, study: Study | None) -> Table:
    """Precision against recall of all candidates, as a picture and a table."""
    from training.search.report import write_balance

    path = outcome.report / "precision_recall.png"
    return write_balance(experiment, outcome.judged, winner.name if winner else None, study, path)


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
        splits.test.texts,
        splits.test.labels,
        winner.test_predictions,
        winner.description.labels,
        origins=splits.test.origins if splits.test.live else None,
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
            **splits.report.live_facts(),
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
        **splits.report.live_facts(),
        **({"live_test_accuracy": winner.live.accuracy.value} if winner.live else {}),
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
