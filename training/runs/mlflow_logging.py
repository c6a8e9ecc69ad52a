"""MLflow logging of a run: its observer, data sets, files, and the end of interrupted runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from stores.registry import ModelRegistry, tags_of
from training.data import Splits
from training.evaluation.candidate import CandidateResult
from training.evaluation.label_errors import label_error_counts
from training.experiment.rerun import EXPERIMENT_FILE, resolved_yaml
from training.experiment.schema import Experiment
from training.models.result import Trained, TrainingContext
from training.reporting.run_report import run_note
from training.runs.resume import RECORDS
from training.runs.run_events import Run, RunObserver


class MlflowObserver(RunObserver):
    """Tags, figures and files of the run and of its candidates' runs in MLflow."""

    def opened(self, run: Run) -> None:
        """The experiment and its data; an interrupted run that is continued is closed."""
        experiment, splits, folder = run.experiment, run.splits, run.folder
        if folder.broken_off:
            close_interrupted_runs(folder.broken_off, run.outcome.run_id, run.registry)
        mlflow.set_tags({"kind": "experiment", "seed": str(experiment.seed), "data": splits.fingerprint})
        mlflow.set_tags(experiment.smoke_tags())
        if live := splits.report.live_facts():
            mlflow.set_tags(tags_of(live))
            mlflow.log_params(live)
        mlflow.log_text(resolved_yaml(experiment, run.registry.name), EXPERIMENT_FILE)
        log_inputs(splits, experiment)
        mlflow.log_dict(splits.report.as_dict(), "data.json")

    def data_checked(self, run: Run) -> None:
        """What the checks found; also the report, where the run stops for it."""
        mlflow.log_dict(run.findings.as_dict(), "data_checks.json")
        mlflow.log_metrics(run.findings.metrics())
        if run.findings.worst() == "error":
            log_report(run.outcome.report)

    def candidate_opened(self, run: Run) -> None:
        """The data of the candidate."""
        log_inputs(run.splits, run.experiment)

    def candidate_resumed(self, context: TrainingContext, trained: Trained) -> None:  # noqa: ARG002
        """The figures that the earlier training logged, once more."""
        if trained.history.log:
            from training.finetuning.callbacks import log_to_mlflow  # torch takes seconds to import

            log_to_mlflow(trained.history.log)

    def candidate_evaluated(self, run: Run, context: TrainingContext, evaluated: CandidateResult) -> None:
        """Records of the training, figures and pictures."""
        log_records(context)
        mlflow.log_metrics(evaluated.metrics())
        mlflow.log_artifacts(str(run.outcome.report / evaluated.name), "pictures")

    def candidates_timed(self, run: Run) -> None:
        """The new latencies, in the candidates' runs."""
        for item in run.outcome.evaluated:
            mlflow.log_metrics(item.cost_metrics(), run_id=run.outcome.runs[item.name])

    def candidates_compared(self, run: Run, winner: CandidateResult | None) -> None:
        """The report, where the run stops because there is no winner."""
        if winner is None:
            log_report(run.outcome.report)

    def label_errors_found(self, run: Run) -> None:
        """How many there are in each part."""
        counts = label_error_counts(run.label_errors)
        mlflow.log_metrics({f"probable_label_errors_{part}": float(count) for part, count in counts.items()})

    def gate_decided(self, run: Run, winner: CandidateResult) -> None:  # noqa: ARG002
        """Results of the behavioural tests."""
        assert run.outcome.decision is not None
        assert run.outcome.decision.behaviour is not None
        mlflow.log_metrics(run.outcome.decision.behaviour.metrics())

    def registered(self, run: Run, winner: CandidateResult) -> None:
        """Winner, version and decision; the report and a link to it."""
        outcome, decision, version = run.outcome, run.outcome.decision, run.outcome.version
        assert decision is not None
        assert version is not None
        mlflow.log_metrics({f"winner_{key}": value for key, value in winner.metrics().items()})
        mlflow.set_tags({"winner": winner.name, "version": version.version, **tags_of(decision.tags())})
        mlflow.log_text(decision.as_markdown(winner.name, run.experiment.name), "decision.md")
        log_report(outcome.report)
        experiment_id = run.registry.experiment_id(run.experiment.name)
        mlflow.set_tag("mlflow.note.content", run_note(outcome, winner, experiment_id))


def log_inputs(splits: Splits, experiment: Experiment) -> None:
    """The parts as MLflow data sets of the active run, by their fingerprints."""
    import pandas as pd
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    for name, part in splits.parts().items():
        if name == "holdout" or not len(part):  # no model sees the holdout
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


def log_report(report: Path) -> None:
    """The run's plots and metrics; the records of each candidate are in its own run."""
    for path in sorted(report.iterdir()):
        if path.is_file():
            mlflow.log_artifact(str(path), "report")
        elif path.name != RECORDS:
            mlflow.log_artifacts(str(path), f"report/{path.name}")


def log_records(context: TrainingContext) -> None:
    """What is kept of a candidate's training, but for its checkpoints, which would fill an artifact store."""
    if context.records is None or not context.records.exists():
        return
    for path in sorted(context.records.iterdir()):
        if path.is_file():
            mlflow.log_artifact(str(path), RECORDS)
        elif path.name != "checkpoints":
            mlflow.log_artifacts(str(path), f"{RECORDS}/{path.name}")


def close_interrupted_runs(broken_off: str, continued_by: str, registry: ModelRegistry) -> None:
    """Mark an interrupted run and its candidates' runs as killed, and name the run that resumes it."""
    client = registry.client
    try:
        parent = client.get_run(broken_off)
    except MlflowException:  # another registry, or the run was deleted
        return
    nested = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{broken_off}'")
    for run in (parent, *nested):
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    client.set_tag(broken_off, "continued_by", continued_by)
    mlflow.set_tag("continues", broken_off)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
