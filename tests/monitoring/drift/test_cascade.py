"""The signals of a cascade, and the alarm of a linear stage that is sure of texts it never saw."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from classifier import Classifier
from classifier.reference import PROBABILITY_PREFIX
from monitoring.champion import MonitoredModel, find_champion
from monitoring.check import evaluate_window
from monitoring.drift.cascade import share_score
from monitoring.drift.permutation import PermutationSampler
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Signal, Verdict
from stores.predictions import Prediction, PredictionStore
from stores.predictions.audits import add_audits
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings
from tests.monitoring.conftest import House, normal
from tests.support.bundles import bbc_part
from tests.support.cascades import STAGES, sealed_cascade

NOW = time.time()
UNSEEN = "entertainment"


@dataclass
class Cascade:
    """A champion whose linear stage never saw one topic, and an empty store."""

    champion: MonitoredModel
    classifier: Classifier
    store: PredictionStore

    def answer(self, texts: list[str], *, audited: bool = True) -> None:
        """Write predictions as the service does; every early one is audited, and none has a label."""
        made = self.classifier.classify(texts)
        whole = self.classifier.predict(texts, all_stages=True).argmax(axis=1)
        labels, rows, audits = self.classifier.labels, [], {}
        for text, row, stage, best in zip(texts, made.probabilities, made.stages, whole, strict=True):
            scores = {name: float(p) for name, p in zip(labels, row, strict=True)}
            label = max(scores, key=scores.__getitem__)
            rows.append(
                Prediction(
                    text,
                    label,
                    scores[label],
                    scores,
                    len(text.split()),
                    truncated=False,
                    model_name=self.champion.model.name,
                    model_version=self.champion.model.version,
                    created_at=NOW - 60,
                    stage=STAGES[stage],
                )
            )
            if stage == 0:
                audits[rows[-1].id] = labels[best]
        self.store.add(rows)
        if audited:
            add_audits(self.store, audits)

    def verdict(self) -> Verdict:
        settings = MonitoringSettings(monitoring_permutations=1999)
        return evaluate_window(self.store, self.champion, NOW - 3600, NOW, settings).verdict


@pytest.fixture(scope="module")
def sure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a cascade whose linear stage is too sure, and never saw one topic."""
    folder = tmp_path_factory.mktemp("cascades") / "news"
    sealed_cascade(folder, unseen=UNSEEN, sureness=3.0)
    return folder


@pytest.fixture
def cascade(sure: Path, tmp_path: Path) -> Cascade:
    tracking = TrackingSettings(var_dir=tmp_path, model_uri=str(sure))
    champion = find_champion(ModelRegistry(tracking), tracking, SigningSettings())
    store = PredictionStore.open(PredictionSettings(var_dir=tmp_path).url)
    return Cascade(champion, Classifier.load(sure), store)


def of(verdict: Verdict, name: str) -> Signal:
    return next(signal for signal in verdict.drift.signals if signal.name == name)


def test_texts_like_the_reference_raise_no_alarm(cascade: Cascade) -> None:
    cascade.answer([text for text, topic in zip(*bbc_part(2), strict=True) if topic != UNSEEN])
    verdict = cascade.verdict()
    assert of(verdict, "early_share").status == "ok"
    assert of(verdict, "audit_agreement").status == "ok"


def test_a_stage_that_is_wrongly_sure_alarms_without_labels(cascade: Cascade) -> None:
    texts, topics = bbc_part(2)
    unseen = [text for text, topic in zip(texts, topics, strict=True) if topic == UNSEEN]
    cascade.answer([*unseen, *(text for text, topic in zip(texts, topics, strict=True) if topic == "tech")])
    verdict = cascade.verdict()
    assert verdict.accuracy.labelled == 0
    agreement = of(verdict, "audit_agreement")
    assert agreement.status == "breach"
    assert agreement.value is not None
    assert agreement.value > 0.1
    assert "of audited early answers" in agreement.words
    share = of(verdict, "early_share")
    assert share.status == "breach"
    assert share.words.startswith("the share of texts answered early went from 98% to ")


def test_agreement_needs_audits(cascade: Cascade) -> None:
    cascade.answer(bbc_part(2)[0][:80], audited=False)
    agreement = of(cascade.verdict(), "audit_agreement")
    assert agreement.status == "insufficient_data"
    assert "0 early answers of the window were audited" in agreement.words


def test_a_champion_without_stages_has_neither_signal(house: House) -> None:
    house.answer(normal(60)[0])
    names = {signal.name for signal in house.verdict().drift.signals}
    assert not names & {"early_share", "audit_agreement"}


def test_the_reference_keeps_all_stages_in_order(cascade: Cascade) -> None:
    reference = cascade.champion.reference
    assert list(reference["stage"].cat.categories) == list(STAGES)
    columns = [PROBABILITY_PREFIX + label for label in cascade.champion.labels]
    early = reference["stage"] == STAGES[0]
    best = reference.loc[early, columns].to_numpy().argmax(axis=1)
    assert [cascade.champion.labels[column] for column in best] == list(reference.loc[early, "predicted"])


@pytest.mark.parametrize("two_sided", [True, False])
def test_equal_shares_are_rarely_called_different(two_sided: bool) -> None:
    rng = np.random.default_rng(3)
    p_values = [
        share_score(
            (rng.random(300) < 0.8).astype(float),
            (rng.random(120) < 0.8).astype(float),
            PermutationSampler(999, rng),
            two_sided=two_sided,
        ).p_value
        for _ in range(400)
    ]
    assert np.mean(np.array(p_values) <= 0.05) < 0.08


def test_a_rise_of_agreement_is_no_fall() -> None:
    low, high = np.repeat([1.0, 0.0], [80, 20]), np.repeat([1.0, 0.0], [99, 1])
    sampler = PermutationSampler(999, np.random.default_rng(1))
    assert share_score(low, high, sampler, two_sided=False).p_value > 0.9
    assert share_score(low, high, sampler, two_sided=True).p_value < 0.01
    assert share_score(high, low, sampler, two_sided=False).p_value < 0.01
