"""The loop closes by itself: other texts come, the alarm is right, labels come back, a new champion takes over."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from monitoring.cli import main as monitoring
from stores.predictions import PredictionStore
from stores.predictions.checks import CheckLog
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, TrackingSettings
from tests import golden_messages as messages
from tests.journeys.conftest import command
from tests.support.bundles import bbc_articles
from tests.support.clients import clients, wait_for_answer, wait_for_version
from tests.support.servers import Server, serving
from training.experiment.loader import load_experiment
from training.pipeline.run import run_experiment

pytestmark = [pytest.mark.slow, pytest.mark.journey, pytest.mark.timeout(600)]

DESKS = {
    "business": "money",
    "politics": "money",
    "sports": "leisure",
    "entertainment": "leisure",
    "tech": "science",
}
"""Who takes a story. The champion learns from articles on business, sports and tech; then the money desk is sent
politics, too, the leisure desk entertainment, and all of it as a news ticker writes it."""

EXPERIMENT = """
name: desks
seed: 3
data:
  source: {source}
  split: {{ train: 0.6, validation: 0.15, test: 0.25, holdout: 0 }}
  checks: {{ language_texts: 20 }}
candidates:
  logreg: {{ kind: tfidf_logreg, baseline: false }}
behaviour: {{ texts: 5 }}
analysis: {{ label_errors: false }}
gate: {{ resamples: 500 }}
"""

Story = tuple[str, str]


def stories() -> tuple[list[Story], list[Story]]:
    """Articles on three topics, and a ticker that is mostly about two others; each with its desk."""
    rng = random.Random(1)
    articles = list(zip(*bbc_articles(), strict=True))
    rng.shuffle(articles)
    learned = [(text, DESKS[topic]) for text, topic in articles if topic in ("business", "sports", "tech")]
    new = [(text, topic) for text, topic in articles if topic in ("politics", "entertainment")]
    tech = [(text, topic) for text, topic in articles if topic == "tech"][-60:]
    ticker = {_as_ticker(text): DESKS[topic] for text, topic in [*new[:560], *tech]}
    live = list(ticker.items())
    rng.shuffle(live)
    return learned[:600], live


def _as_ticker(article: str) -> str:
    """Headline and first sentence, in lower case."""
    headline, first, *_ = [line for line in article.splitlines() if line.strip()]
    return f"{headline} - {first.split('. ')[0]}".lower()


class Newsroom:
    """Sends stories, says later where they belonged, and looks at what monitoring finds."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder

    def send(self, sent: list[Story]) -> tuple[list[str], float]:
        """Classify; ids, and the share that went to the right desk."""
        ids: list[str] = []
        right = 0
        with self.server.client() as client:
            for start in range(0, len(sent), 20):
                part = sent[start : start + 20]
                answer = client.post("/classify", json={"text": [text for text, _ in part]})
                answer.raise_for_status()
                for row, (_, desk) in zip(answer.json()["predictions"], part, strict=True):
                    ids.append(row["id"])
                    right += row["label"] == desk
        return ids, right / len(sent)

    def label(self, ids: list[str], sent: list[Story]) -> None:
        feedback = [{"id": id_, "label": desk} for id_, (_, desk) in zip(ids, sent, strict=True)]
        with self.server.client() as client:
            answer = client.post("/feedback", json={"feedback": feedback})
            answer.raise_for_status()
            assert answer.json() == {"accepted": len(ids), "unknown": []}

    def check(
        self, since: float, name: str, *, status: int, retrains: bool = False
    ) -> tuple[dict[str, Any], str]:
        """Check what came since; the verdict, and what was said about retraining."""
        out = self.folder / name
        window = ["--since", str(since), "--until", str(time.time()), "--output", str(out)]
        arguments = ["check", *window, "--on-breach", "retrain"]
        if retrains:
            said = command(["monitoring", *arguments], {}, expected=(status,)).stderr
        else:  # in this process, which spares the imports
            done = CliRunner().invoke(monitoring, arguments)
            assert isinstance(done.exception, SystemExit) or done.exception is None, done.exception
            assert done.exit_code == status, done.output
            said = done.stderr
        return json.loads((out / "verdict.json").read_text(encoding="utf-8")), said


def test_the_loop_closes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned, live = stories()
    articles, experiment, var = tmp_path / "articles.jsonl", tmp_path / "desks.yaml", tmp_path / "var"
    lines = [json.dumps({"text": text, "label": desk}) for text, desk in learned]
    articles.write_text("\n".join(lines), encoding="utf-8")
    experiment.write_text(EXPERIMENT.format(source=articles), encoding="utf-8")
    environment = {
        "VAR_DIR": str(var),
        "MODEL_NAME": "desks",
        "MONITORING_PERMUTATIONS": "1999",
        "RETRAIN_MIN_LABELS": "300",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run_experiment(load_experiment(str(experiment)), console=Console(quiet=True))
    registry = ModelRegistry(TrackingSettings(var_dir=var, model_name="desks"))

    with serving(var, {"MODEL_NAME": "desks"}) as server:
        room = Newsroom(server, tmp_path)

        # Other stories come, written otherwise. The alarm says what moved; one window is not enough to retrain.
        monday, tuesday, wednesday = live[:200], live[200:400], live[400:]
        began = time.time()
        ids, before = room.send(monday)
        verdict, said = room.check(began, "monday", status=1)
        alarmed = {signal["name"] for signal in verdict["drift"]["signals"] if signal["status"] == "breach"}
        assert {"text_content", "unseen_words", "capitals", "text_length"} <= alarmed
        assert messages.LOOP_NOT_RETRAINED in said
        assert messages.LOOP_NO_TEXTS_SINCE in said

        # People say where the stories belonged. The next window breaches, too, now for its accuracy as well.
        room.label(ids, monday)
        since = time.time()
        ids, _ = room.send(tuesday)
        room.label(ids, tuesday)
        with clients(server, 2, pause=0.2) as answers:
            verdict, said = room.check(since, "tuesday", status=1, retrains=True)
            assert verdict["accuracy"]["status"] == "breach"
            assert "Retraining, because" in said
            assert messages.LOOP_TEXTS_SINCE in said
            assert messages.LOOP_PASSED in said, said
            # It was the champion's own experiment, and no other one, that was run.
            first, second = registry.by_version("1"), registry.by_version("2")
            for tag in (
                "experiment",
                "candidate",
                "labels",
                "data_source",
                "data_source_fingerprint",
                "seed",
            ):
                assert second.tags[tag] == first.tags[tag]
            assert int(second.tags["live_texts"]) > 0
            made, again = (
                load_experiment(str(registry.fetch(second) / "report" / name))
                for name in ("experiment.yaml", "rerun.yaml")
            )
            assert made.data.live is not None
            assert again == load_experiment("models:/desks/1"), "the next retraining begins from the same"
            wait_for_version(server, "2")
            wait_for_answer(answers, "2")
        assert {status for status, _ in answers} == {200}, f"a request failed during the swap: {answers}"
        assert {version for _, version in answers} == {"1", "2"}

        # The same kind of stories, and nothing to complain of.
        since = time.time()
        ids, after = room.send(wednesday)
        room.label(ids, wednesday)
        verdict, said = room.check(since, "wednesday", status=0)
        assert verdict["status"] == "ok", verdict["summary"]
        assert verdict["model"]["version"] == "2"
        assert messages.LOOP_HELD_OUT in " ".join(verdict["notes"])
        assert said.strip() == ""
        assert after > 0.85 > before + 0.05

    # What was learned from is on record: in the version's tags, and with the check that led to it.
    champion = registry.by_alias()
    facts = {
        name: int(value)
        for name, value in champion.tags.items()
        if name in ("live_train", "live_test", "live_texts")
    }
    assert facts["live_texts"] == 400
    assert min(facts["live_train"], facts["live_test"]) > 100
    assert champion.tags["gate"] == "passed"
    assert float(champion.tags["live_test_accuracy"]) > float(
        champion.tags["champion_live_accuracy"].split()[0]
    )
    store = PredictionStore.open(PredictionSettings(var_dir=var).url)
    checks = CheckLog(store).last(9, "desks")
    store.close()
    assert [check.status for check in checks] == ["breach", "breach", "ok"]
    assert [check.retrain_status for check in checks] == [None, 0, None]
