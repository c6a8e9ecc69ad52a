"""Register the winner: behavioural tests, gate, sealed bundle, version and alias."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from classifier import Classifier, seal_bundle
from classifier.reference import reference_frame, write_reference
from stores.errors import ChampionChanged
from stores.promotion import DATA_SOURCE, SOURCE_FINGERPRINT, label_tags
from stores.registry import RegisteredModel, tags_of
from stores.settings import SigningSettings
from training.data import Part
from training.data.loading import source_identity
from training.evaluation.behaviour import Behaviour, run_behavioural_tests
from training.evaluation.candidate import CandidateResult
from training.gate.contenders import Contender, changed_source, current_champion, withholding_reasons
from training.gate.decision import Decision, decide
from training.gate.page import write_gate_pages
from training.logs import fields
from training.pipeline.refit import Refitted, register_bundle, register_refitted, write_refitted_report
from training.reporting.run_report import write_bundle_report
from training.runs.run_events import Run

log = logging.getLogger(__name__)
_GOLDEN_LENGTH = 400
_MOST_JUDGEMENTS = 4
"""How often the winner is evaluated where others promote meanwhile."""
_INT8_TEXTS = 48
"""Texts with which the loader compares int8 and float32 on each processor: half a second of int8."""


def run_gate(run: Run, winner: CandidateResult, registration: str) -> Decision:
    """Run the winner's behavioural tests, compare it with the champion, and write the page that shows both.

    `registration` finds the version that an interrupted run had registered the winner as (`registration_of`).
    """
    experiment, registry, report = run.experiment, run.registry, run.outcome.report
    classifier = Classifier.load(winner.bundle, verify=False)
    behaviour = run_behavioural_tests(
        classifier, run.splits.train, run.splits.test, experiment.behaviour, seed=experiment.seed
    )
    keys = (registration, refitted_registration(registration))
    own = [found.version for key in keys if (found := registry.registered_for(key))]
    pages = {
        report / "gate.html": True,
        winner.bundle / "report" / "gate.html": experiment.analysis.texts_in_bundle,
    }
    return _judged(run, winner, behaviour, pages, own=own)


def _judged(
    run: Run,
    winner: CandidateResult,
    behaviour: Behaviour,
    pages: Mapping[Path, bool],
    *,
    own: Collection[str],
) -> Decision:
    """Compare the winner with whichever version is champion now, and write `pages` (path → whether with texts)."""
    experiment, splits = run.experiment, run.splits
    champion = current_champion(run.registry, splits, keys=SigningSettings().keys, own=own)
    decision = decide(
        Contender.of(winner),
        splits.test,
        champion,
        experiment.gate,
        seed=experiment.seed,
        behaviour=behaviour,
    )
    source, fingerprint = source_identity(experiment.data), splits.report.source_fingerprint
    withheld = withholding_reasons(champion, winner.description.labels, source, fingerprint)
    changed = changed_source(champion, source, fingerprint)
    decision = replace(
        decision, withheld=withheld, reasons=(*decision.reasons, *withheld, *([changed] if changed else ()))
    )
    write_gate_pages(
        pages,
        experiment.name,
        winner,
        decision,
        champion,
        behaviour,
        splits.test,
        experiment.gate,
    )
    return replace(decision, behaviour=behaviour, champion_version=champion.version if champion else None)


def registration_of(run: str, winner: CandidateResult) -> str:
    """What the winner of a run is registered for: the same when the run was interrupted and is continued."""
    return hashlib.sha256(f"{run} {winner.name}".encode()).hexdigest()[:32]


def refitted_registration(registration: str) -> str:
    """The same of the winner trained once more on all texts."""
    return f"{registration}-refitted"


def _stages_of(bundle: Path, texts: Sequence[str]) -> dict[str, Any]:
    """What the reference profile says of a cascade's stages; empty for every other model."""
    classifier = Classifier.load(bundle, verify=False)
    if not classifier.stages:
        return {}
    return {"stages": classifier.stages, "all_stages": classifier.predict(texts, all_stages=True)}


def register(
    run: Run, winner: CandidateResult, refitted: Refitted | None, registration: str
) -> RegisteredModel:
    """Seal the winner's bundle, log it, register it, and give it the alias that the gate decided on, if any.

    Where it was `refitted` on all texts, that one is the next version, and gets the alias. A version that an
    interrupted run had registered for `registration` is used again. Where another version became champion after the
    gate had evaluated, the winner is evaluated against that one, which may change the outcome's decision.
    """
    experiment, splits, registry, outcome = run.experiment, run.splits, run.registry, run.outcome
    assert outcome.decision is not None
    bundle, decision = winner.bundle, outcome.decision
    frame = reference_frame(
        splits.test.originals,  # as traffic will send them
        splits.test.labels,
        winner.test_predictions,
        winner.description.labels,
        origins=splits.test.origins if splits.test.live else None,
        **_stages_of(bundle, splits.test.originals),
    )
    write_reference(bundle, frame)
    write_bundle_report(bundle, outcome.report, experiment, winner, decision)
    data: dict[str, Any] = {
        "source": splits.report.source,
        "fingerprint": splits.fingerprint,
        "train_fingerprint": splits.train.fingerprint,
        "test_fingerprint": splits.test.fingerprint,
        "experiment": experiment.name,
        "seed": experiment.seed,
        **splits.report.live_facts(),
        **experiment.smoke_tags(),
    }
    sealing: dict[str, Any] = {
        "golden_texts": _golden_texts(splits.validation),
        "int8_texts": _int8_texts(splits.validation),
        "signing_key": SigningSettings().keys,
    }
    seal_bundle(bundle, winner.description, data=data, **sealing)
    facts: dict[str, Any] = {
        "experiment": experiment.name,
        "candidate": winner.name,
        "data": splits.fingerprint,
        DATA_SOURCE: source_identity(experiment.data),
        SOURCE_FINGERPRINT: splits.report.source_fingerprint,
        "config": hashlib.sha256(experiment.as_yaml().encode()).hexdigest(),
        "seed": experiment.seed,
        "validation_macro_f1": winner.validation.macro_f1.value,
        "test_macro_f1": winner.test.macro_f1.value,
        "test_macro_f1_low": winner.test.macro_f1.low,
        "test_macro_f1_high": winner.test.macro_f1.high,
        "test_accuracy": winner.test.accuracy.value,
        "test_calibration_error": winner.test.calibration_error.value,
        **winner.cost.metrics(),
        **({} if winner.share_early is None else {"test_share_early": winner.share_early}),
        **splits.report.live_facts(),
        **({"live_test_accuracy": winner.live.accuracy.value} if winner.live else {}),
    }
    labels = label_tags(winner.description.labels)
    tags = {**tags_of(facts), **labels, **experiment.smoke_tags(), **decision.tags()}
    version = register_bundle(bundle, tags, registry, registration)
    if refitted is not None:
        outcome.judged_version = version
        write_refitted_report(refitted, winner, version.version, splits)
        data |= refitted.data_facts(version.version)
        seal_bundle(refitted.bundle, refitted.description, data=data, **sealing)
        version = register_refitted(refitted, version, tags, registry, refitted_registration(registration))
    return _with_alias(run, winner, version)


def _with_alias(run: Run, winner: CandidateResult, version: RegisteredModel) -> RegisteredModel:
    """Give `version` the alias that the gate decided on; decided again if the champion has changed since."""
    registry, outcome = run.registry, run.outcome
    for _ in range(_MOST_JUDGEMENTS):
        decision = outcome.decision
        assert decision is not None
        if decision.alias is None:
            return version
        if not decision.promoted:
            return registry.challenge(version.version)
        try:
            return registry.promote(version.version, expected=decision.champion_version)
        except ChampionChanged as error:
            log.warning("champion_changed", extra=fields(words=str(error)))
        assert decision.behaviour is not None
        # The page in the bundle, which is sealed and registered, stays that of the first judgement.
        pages = {outcome.report / "gate.html": True}
        again = _judged(run, winner, decision.behaviour, pages, own=[version.version])
        before = _version_label(decision.champion_version)
        note = f"Decided again: {before} at first, and {_version_label(again.champion_version)} at promotion."
        outcome.decision = replace(again, reasons=(*again.reasons, note))
        registry.tag(version.version, tags_of(outcome.decision.tags()))
    log.warning("kept_as_challenger", extra=fields(version=version.version))
    assert outcome.decision is not None
    kept = (
        f"The champion changed {_MOST_JUDGEMENTS} times while this run was to promote: it stays challenger."
    )
    outcome.decision = replace(outcome.decision, passed=False, reasons=(*outcome.decision.reasons, kept))
    registry.tag(version.version, tags_of(outcome.decision.tags()))
    return registry.challenge(version.version)


def _version_label(champion: str | None) -> str:
    return f"version {champion} was champion" if champion else "there was no champion"


def _golden_texts(validation: Part) -> list[str]:
    """One text a label, cut short: they travel with the model. One that `data.clean` changes is preferred."""
    chosen: dict[str, str] = {}
    changed: set[str] = set()
    for text, original, label in zip(validation.texts, validation.originals, validation.labels, strict=True):
        if label not in chosen or (original != text and label not in changed):
            chosen[label] = original[:_GOLDEN_LENGTH]
            changed.update([label] if original != text else [])
    return [chosen[label] for label in sorted(chosen)]


def _int8_texts(validation: Part) -> list[str]:
    """Texts of the validation part, evenly spread over labels, cut short as the golden ones are."""
    by_label = sorted(zip(validation.labels, range(len(validation)), strict=True))
    step = max(1, -(-len(by_label) // _INT8_TEXTS))
    return [validation.originals[index][:_GOLDEN_LENGTH] for _, index in by_label[::step]]
