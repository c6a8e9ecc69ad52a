"""Observers of a training run: log events, the report folder and the console."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.text import Text

from stores.registry import ModelRegistry
from training.data import Splits
from training.data.plots import write_data_page
from training.evaluation.candidate import CandidateResult
from training.evaluation.error_analysis import write_error_analysis
from training.evaluation.label_errors import (
    label_error_sentence,
    write_label_errors,
)
from training.experiment.schema import Experiment
from training.finetuning.run_history import write_history
from training.logs import fields
from training.models.result import Trained, TrainingContext
from training.reporting.comparison_plots import balance_table, draw_balance
from training.reporting.conclusion import write_comparison
from training.reporting.model_card import write_model_card
from training.reporting.run_report import (
    PAGE,
    closing_table,
    how_to_promote,
    smoke_sentences,
    write_json,
    write_run_page,
    write_run_report,
)
from training.runs.preflight import Preflight
from training.runs.resume import RunFolder
from training.runs.run_events import Run, RunObserver

log = logging.getLogger(__name__)


class LogObserver(RunObserver):
    """The events of `var/logs/training.log`."""

    def started(self, experiment: Experiment, registry: ModelRegistry) -> None:  # noqa: ARG002
        """`run_started`."""
        log.info(
            "run_started", extra=fields(experiment=experiment.name, candidates=list(experiment.candidates))
        )

    def data_split(self, splits: Splits) -> None:
        """`data_divided`."""
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

    def candidates_checked(self, preflight: Preflight) -> None:
        """`candidate_noted` and `candidate_refused`."""
        for name, notes in preflight.notes.items():
            for note in notes:
                log.info("candidate_noted", extra=fields(candidate=name, note=note))
        for name, error in preflight.refused.items():
            log.error("candidate_refused", extra=fields(candidate=name, reason=str(error)))

    def candidate_started(self, run: Run, name: str) -> None:
        """`candidate_started`."""
        log.info("candidate_started", extra=fields(candidate=name, kind=run.experiment.candidates[name].kind))

    def candidate_resumed(self, context: TrainingContext, trained: Trained) -> None:  # noqa: ARG002
        """`candidate_resumed`."""
        log.info("candidate_resumed", extra=fields(candidate=context.name))

    def candidate_finished(self, evaluated: CandidateResult, seconds: float) -> None:
        """`candidate_judged`."""
        log.info(
            "candidate_judged",
            extra=fields(
                candidate=evaluated.name,
                validation_macro_f1=round(evaluated.validation.macro_f1.value, 4),
                test_macro_f1=round(evaluated.test.macro_f1.value, 4),
                seconds=round(seconds, 1),
            ),
        )

    def candidate_failed(self, run: Run, name: str, error: Exception, kept: bool) -> None:  # noqa: ARG002
        """`candidate_failed`, with the traceback."""
        log.exception("candidate_failed", extra=fields(candidate=name, kept=kept))

    def refit_failed(self, winner: CandidateResult) -> None:
        """`refit_failed`, with the traceback."""
        log.exception("refit_failed", extra=fields(candidate=winner.name))

    def registered(self, run: Run, winner: CandidateResult) -> None:  # noqa: ARG002
        """`registered`."""
        outcome = run.outcome
        assert outcome.version is not None
        assert outcome.decision is not None
        log.info(
            "registered",
            extra=fields(
                model=outcome.version.name,
                version=outcome.version.version,
                alias=outcome.decision.alias,
                reasons=outcome.decision.reasons,
                report=str(outcome.report),
            ),
        )


class ReportObserver(RunObserver):
    """The files of the report folder."""

    def data_checked(self, run: Run) -> None:
        """`data/data.html` with its pictures."""
        write_data_page(run.outcome.report / "data", run.findings, run.splits, run.experiment.name)

    def candidate_evaluated(self, run: Run, context: TrainingContext, evaluated: CandidateResult) -> None:
        """`run_history.json` with the final figures, and the candidate's mistakes."""
        experiment, name = run.experiment, evaluated.name
        config = experiment.candidates[name]
        write_history(context, config, evaluated.trained.history, final_figures(evaluated))
        write_error_analysis(
            run.outcome.report / name,
            evaluated,
            run.splits.test,
            experiment.analysis,
            experiment.gate.confidence,
        )

    def candidates_compared(self, run: Run, winner: CandidateResult | None) -> None:
        """What compares candidates; without a winner also `index.html`, which is then written no later."""
        experiment, outcome = run.experiment, run.outcome
        best = winner.name if winner else None
        write_run_report(outcome.report, experiment, run.registry.name, outcome.evaluated, winner)
        if _has_balance(run):
            draw_balance(
                experiment, outcome.evaluated, best, run.trials, outcome.report / "precision_recall.png"
            )
        if winner is None:
            self._write_page(run, list(outcome.failed.values()))

    def winner_compared(self, run: Run, winner: CandidateResult) -> None:  # noqa: ARG002
        """`students.md` and `conclusion.md`, where there is something to compare."""
        write_comparison(run.outcome.report, run.comparison)

    def label_errors_found(self, run: Run) -> None:
        """`label_errors.csv`, where a label looks wrong."""
        if run.label_errors:
            write_label_errors(run.outcome.report / "label_errors.csv", run.label_errors)

    def gate_decided(self, run: Run, winner: CandidateResult) -> None:
        """`behaviour.json` and the model card; the gate has written its pages."""
        report, decision = run.outcome.report, run.outcome.decision
        assert decision is not None
        assert decision.behaviour is not None
        write_json(report / "behaviour.json", decision.behaviour.as_dict(texts=True))
        write_model_card(
            report, run.registry.name, run.experiment, winner, run.splits, run.findings, decision
        )

    def registered(self, run: Run, winner: CandidateResult) -> None:  # noqa: ARG002
        """`index.html`."""
        assert run.outcome.decision is not None
        self._write_page(
            run,
            [
                *run.outcome.decision.reasons, *run.comparison.sentences, *run.refit_sentences,
                label_error_sentence(run.label_errors, run.splits, run.experiment.analysis),
            ],
        )  # fmt: skip

    def _write_page(self, run: Run, sentences: Sequence[str]) -> None:
        write_run_page(run.outcome, run.experiment, run.loaded, run.splits, run.findings, sentences)


class ConsoleObserver(RunObserver):
    """What a run prints."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _print(self, sentence: str | Text, *, markup: bool = False, soft_wrap: bool = False) -> None:
        self._console.print(sentence, highlight=False, markup=markup, soft_wrap=soft_wrap)

    def registry_repaired(self, repairs: Sequence[str]) -> None:
        """The repairs."""
        for sentence in repairs:
            self._print(sentence, soft_wrap=True)

    def started(self, experiment: Experiment, registry: ModelRegistry) -> None:
        """That it is a smoke run."""
        for sentence in smoke_sentences(experiment, registry.name):
            self._print(sentence, markup=True, soft_wrap=True)

    def data_split(self, splits: Splits) -> None:
        """The parts."""
        self._console.print(splits.report)

    def candidates_checked(self, preflight: Preflight) -> None:
        """Notes and refusals."""
        for name, notes in preflight.notes.items():
            for note in notes:
                self._print(f"{name}: {note}", soft_wrap=True)
        for name, error in preflight.refused.items():
            self._print(f"{name} cannot be trained: {error}", soft_wrap=True)

    def opened(self, run: Run) -> None:
        """That an interrupted run is resumed."""
        if run.folder.broken_off:
            self._console.print(
                f"Resuming the interrupted run: {run.outcome.report}", markup=False, soft_wrap=True
            )

    def data_checked(self, run: Run) -> None:
        """The findings; those that stop the run are in its error message."""
        if run.findings.worst() != "error":
            self._console.print(run.findings)

    def candidate_resumed(self, context: TrainingContext, trained: Trained) -> None:  # noqa: ARG002
        """That it is not trained again."""
        self._print(f"{context.name}: was trained by an earlier run, and is not trained again", markup=True)

    def candidate_failed(self, run: Run, name: str, error: Exception, kept: bool) -> None:
        """Why, and whether the next run continues it."""
        self._print(Text.assemble((f"{name} failed:", "red"), f" {error}"), soft_wrap=True)
        if kept:
            self._print(
                f"What is trained of {name} is kept: the next run of {run.experiment.name} continues there.",
                soft_wrap=True,
            )

    def candidates_compared(self, run: Run, winner: CandidateResult | None) -> None:
        """All candidates with their figures; in an experiment with phases, precision and recall, too."""
        experiment, outcome = run.experiment, run.outcome
        best = winner.name if winner else None
        self._console.print(closing_table(experiment, outcome.evaluated, outcome.failed, best, run.splits))
        if _has_balance(run):
            self._console.print(balance_table(experiment, outcome.evaluated, best))

    def winner_compared(self, run: Run, winner: CandidateResult) -> None:  # noqa: ARG002
        """Baselines and students against the winner, and the conclusion."""
        for sentence in run.comparison.sentences:
            self._print(sentence)
        if run.comparison.conclusion:
            self._console.print(Markdown(run.comparison.conclusion))

    def label_errors_found(self, run: Run) -> None:
        """How many labels look wrong."""
        self._print(label_error_sentence(run.label_errors, run.splits, run.experiment.analysis), markup=True)

    def finished(self, run: Run, winner: CandidateResult) -> None:
        """The gate's reasons, the version, and what to do where it has no alias."""
        decision, version = run.outcome.decision, run.outcome.version
        assert decision is not None
        assert version is not None
        for reason in decision.reasons:
            self._print(reason)
        self._print(
            f"[bold]{winner.name}[/] is version {version.version} of {escape(version.name)}: "
            f"[bold]{decision.alias or 'no alias'}[/]. Report: {escape(str(run.outcome.report / PAGE))}",
            markup=True,
            soft_wrap=True,
        )
        for sentence in run.refit_sentences:
            self._print(sentence, soft_wrap=True)
        if decision.withheld:
            self._print(how_to_promote(version, decision))

    def failed(self, folder: RunFolder) -> None:
        """That a later run continues this one."""
        if folder.is_resumable:
            self._print("What is trained is kept: the same command continues there.", markup=True)


def final_figures(evaluated: CandidateResult) -> dict[str, Any]:
    """Figures of the file that is served, calibrated: on the validation and test part, with their intervals."""
    parts = {"validation": evaluated.validation, "test": evaluated.test}
    if evaluated.live is not None:
        parts["live_test"] = evaluated.live
    return {
        **{
            name: {"texts": scores.texts, **{key: asdict(value) for key, value in scores.headlines.items()}}
            for name, scores in parts.items()
        },
        "model_file": evaluated.description.model_file,
        "temperature": evaluated.description.temperature,
        "megabytes": evaluated.megabytes,
        "latency_ms_p50": evaluated.milliseconds,
        "training": evaluated.trained.figures,
    }


def _has_balance(run: Run) -> bool:
    return bool(run.outcome.evaluated and (run.experiment.phases or run.experiment.search))
