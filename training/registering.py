"""What becomes of the winner: behaviour, the gate, a sealed bundle, a version with an alias."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import mlflow

from classifier import Classifier, seal_bundle
from classifier.reference import reference_frame, write_reference
from stores.models import ModelRegistry, RegisteredModel, tags_of
from stores.settings import SigningSettings
from training.behaviour.running import behave
from training.data import Part, Splits
from training.experiment import Experiment
from training.gate.contenders import current_champion
from training.gate.decision import Decision, decide
from training.gate.page import write_gate_pages
from training.judging import Judged
from training.outcome import Outcome
from training.report import write_bundle_report, write_json

log = logging.getLogger(__name__)
_GOLDEN_LENGTH = 400


def at_the_gate(
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


def register(
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
