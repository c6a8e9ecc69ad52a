"""Train the winner again on all labelled texts after evaluation (`fit_all`)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
from rich.progress import Progress

from classifier import Classifier, Description
from classifier.manifest import sha256_of, verify_manifest
from classifier.precision import INT8_FILE
from stores.registry import ModelRegistry, RegisteredModel
from stores.settings import SigningSettings
from stores.signatures import sign_version, signatures_in
from training.config.network import HeadConfig, NetworkConfig
from training.config.tfidf import PerceptronConfig
from training.data import Part, Splits
from training.evaluation.candidate import CandidateResult
from training.gate.contenders import JUDGED_VERSION
from training.kinds.candidate import Candidate
from training.models.result import History
from training.reporting.model_card import CARD
from training.reporting.run_report import write_json
from training.runs.candidate_run import candidate_run, format_failure, train_or_resume
from training.runs.mlflow_logging import log_records
from training.runs.run_events import Run

SUFFIX = "-fit-all"
"""Ends the name of a refitted winner's run and records."""
REPORT_FILE = "fit_all.json"
_LONGEST_NAME = 60
_AT_THE_END = 10**9
"""Steps between evaluations: more than there are, so that the last step is the only one, and its weights are kept."""


@dataclass(frozen=True)
class Refitted:
    """The winner, trained on all labelled texts."""

    bundle: Path
    """Folder of its files."""
    description: Description
    """With the temperature of the evaluated one."""
    train: Part
    """What it learned."""
    epochs: float | None
    """Passes over it; None for a kind that learns in none."""
    agreement: float
    """Share of the test texts to which it gives the evaluated one's label; it has learned them."""

    def data_facts(self, judged_version: str) -> dict[str, object]:
        """What its manifest says of its data in place of the evaluated one's."""
        return {
            "train_fingerprint": self.train.fingerprint,
            "fit_all": True,
            JUDGED_VERSION: judged_version,
        }


def refit(run: Run, winner: CandidateResult, progress: Progress) -> Refitted | None:
    """Train `winner` on all labelled texts, in a nested MLflow run; None where that fails, which is noted.

    The number of epochs is the one that the validation part chose for the winner.
    """
    experiment, splits = run.experiment, run.splits
    name = winner.name[: _LONGEST_NAME - len(SUFFIX)] + SUFFIX
    config = with_fixed_epochs(
        experiment.candidates[winner.name],
        winner.trained.history,
        int8=(winner.bundle / INT8_FILE).is_file(),
    )
    whole = replace(splits, train=splits.train + splits.validation + splits.test)
    context = run.folder.context(
        name, experiment.with_candidates({name: config}), whole, run.registry, progress
    )
    bundles = {item.name: item.bundle for item in run.outcome.evaluated}
    context = replace(context, siblings={**context.siblings, **bundles}, fixed_epochs=True)
    tags = {"kind": "refit", "candidate": winner.name, **experiment.smoke_tags()}
    try:
        with candidate_run(context, experiment.name, config, tags):
            trained = train_or_resume(config, whole, context, run.observers)
            log_records(context)
            # All but the file is the evaluated one's, the temperature above all.
            description = winner.description.model_copy(update={"model_file": trained.description.model_file})
            description.write(context.bundle)
            given = Classifier.load(context.bundle, verify=False).predict(splits.test.texts).argmax(axis=1)
            agreement = float((given == winner.test_predictions.probabilities.argmax(axis=1)).mean())
            mlflow.log_metrics({**trained.figures, "agreement_with_judged": agreement})
    except Exception as error:  # the evaluated winner is whole without it
        run.observers.refit_failed(winner)
        run.folder.keep(context.scratch)
        run.outcome.failed[name] = format_failure(error)
        return None
    return Refitted(
        context.bundle, description, whole.train, chosen_epochs(winner.trained.history), agreement
    )


def chosen_epochs(history: History) -> float | None:
    """The epoch with the best macro-F1 on the validation part, the first of equals; None where there were none."""
    if not history.epochs:
        return None
    return round(max(history.epochs, key=lambda entry: entry["macro_f1"])["epoch"], 4)


def with_fixed_epochs(config: Candidate, history: History, *, int8: bool) -> Candidate:
    """`config` with the number of epochs that was chosen, and nothing left to choose.

    Args:
        config: of the winner.
        history: of its training.
        int8: whether the winner's eight-bit file was kept.
    """
    epochs = chosen_epochs(history)
    update: dict[str, object] = {}
    if isinstance(config, NetworkConfig | HeadConfig) and not int8:
        update["int8"] = None
    if isinstance(config, NetworkConfig) and epochs:
        update["schedule"] = config.schedule.model_copy(
            update={"evaluate_every": _AT_THE_END, "patience": None}
        )
        if config.self_training:
            update["self_training"] = config.self_training.model_copy(update={"epochs": epochs})
        else:
            update["epochs"] = epochs
    if isinstance(config, PerceptronConfig) and epochs:
        update["epochs"] = round(epochs)
    return config.model_copy(update=update)


def register_bundle(
    bundle: Path, tags: Mapping[str, str], registry: ModelRegistry, registration: str | None
) -> RegisteredModel:
    """Log, register and sign a sealed bundle; a version that was registered for `registration` before is used again."""
    keys = SigningSettings().keys
    before = registry.registered_for(registration) if registration else None
    if before is None:
        version = registry.register(registry.log_bundle(bundle), tags=tags, registration=registration)
        sign_version(registry, version, bundle, keys)
        return registry.by_version(version.version) if keys else version
    registry.tag(before.version, tags)
    if keys is not None and not signatures_in(before.tags):  # interrupted between the two
        folder = registry.fetch(before)
        verify_manifest(folder, signing_key=keys)
        sign_version(registry, before, folder, keys)
    return registry.by_version(before.version)


def register_refitted(
    refitted: Refitted,
    evaluated: RegisteredModel,
    tags: Mapping[str, str],
    registry: ModelRegistry,
    registration: str | None = None,
) -> RegisteredModel:
    """Register the sealed bundle of `refitted` as the next version, and tag both with one another's number.

    Args:
        refitted: its bundle is sealed.
        evaluated: the version of the evaluated one.
        tags: of the evaluated one; its figures are said of both.
        registry: where both are registered.
        registration: see `register_bundle`.
    """
    own = {
        "fit_all": "refitted",
        JUDGED_VERSION: evaluated.version,
        "train_texts": str(len(refitted.train)),
        "agreement_with_judged": f"{refitted.agreement:.4f}",
    }
    version = register_bundle(refitted.bundle, {**tags, **own}, registry, registration)
    registry.tag(evaluated.version, {"fit_all": "evaluated", "refitted_version": version.version})
    mlflow.set_tag(JUDGED_VERSION, evaluated.version)
    return version


def write_refitted_report(
    refitted: Refitted, winner: CandidateResult, judged_version: str, splits: Splits
) -> None:
    """Copy the evaluated one's reference profile and report into the bundle; `fit_all.json` says whose they are."""
    bundle = refitted.bundle
    shutil.copy(winner.bundle / "reference.parquet", bundle / "reference.parquet")
    shutil.copytree(winner.bundle / "report", bundle / "report", dirs_exist_ok=True)
    facts = {
        "figures_are_of": {
            "version": judged_version,
            "model_sha256": sha256_of(winner.bundle / winner.description.model_file),
            "train_fingerprint": splits.train.fingerprint,
            "train_texts": len(splits.train),
        },
        "this_model": {
            "model_sha256": sha256_of(bundle / refitted.description.model_file),
            "train_fingerprint": refitted.train.fingerprint,
            "train_texts": len(refitted.train),
            "epochs": refitted.epochs,
            "agreement_with_judged": round(refitted.agreement, 4),
        },
    }
    write_json(bundle / "report" / REPORT_FILE, facts)
    card = bundle / "report" / CARD
    if card.is_file():
        said = refitted_sentence(refitted, judged_version, splits)
        card.write_text(
            card.read_text(encoding="utf-8") + f"\n## Trained on all texts\n\n{said}\n", encoding="utf-8"
        )


def fit_all_sentences(run: Run, refitted: Refitted | None) -> list[str]:
    """What a person must know of the figures of a run with `fit_all`; nothing for another run."""
    outcome = run.outcome
    if not run.experiment.fit_all:
        return []
    if refitted is None or outcome.judged_version is None:
        failed = "; ".join(f"{name}: {why}" for name, why in outcome.failed.items() if name.endswith(SUFFIX))
        return [f"Training on all texts failed ({failed}); the version is the evaluated one."]
    return [refitted_sentence(refitted, outcome.judged_version.version, run.splits)]


def refitted_sentence(refitted: Refitted, judged_version: str, splits: Splits) -> str:
    """Whose figures a refitted version has."""
    return (
        f"It was trained once more, on all {len(refitted.train):,} labelled texts, after the choice. Its figures, "
        f"temperature and reference profile are those of version {judged_version}, which learned from "
        f"{len(splits.train):,} of them and was evaluated on {len(splits.test):,} that it had not seen. To "
        f"{refitted.agreement:.1%} of these both give the same label."
    )
