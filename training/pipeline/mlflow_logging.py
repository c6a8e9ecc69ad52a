"""MLflow logging of a run: data sets, files, and the end of interrupted runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from stores.registry import ModelRegistry
from training.data import Splits
from training.experiment.schema import Experiment
from training.models.result import TrainingContext

RECORDS = "training"
"""Folder of a report, and of a candidate's artifacts, for what is kept of trainings."""


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
