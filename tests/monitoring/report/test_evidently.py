"""Evidently's page in a real browser, with texts, labels and words that strangers chose: none of them runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitoring.drift.permutation import Score
from monitoring.report.evidently import harmless, write_evidently_page
from monitoring.verdict import Drift, Signal
from tests.monitoring.conftest import comparison
from tests.support.browser import chromium

PAYLOADS = [
    "<img src=x onerror=alert('element')>", "&lt;img src=x onerror=alert('entity')&gt;",
    "&#60;img src=x onerror=alert('number')&#62;", "</script><script>alert('script')</script>", "<!--<script>",
    "[x](javascript:alert('link'))", "<a href='javascript:alert(1)'>x</a>", "\u2028alert('line')//",
    "<svg/onload=alert('svg')>",
    "${alert('template')}", "\\u003cimg src=x onerror=alert('escape')\\u003e", "\"><img src=x onerror=alert('quote')>",
    "'-alert('single')-'", "{{constructor.constructor('alert(1)')()}}", "]]><script>alert('cdata')</script>",
]  # fmt: skip


def test_nothing_that_strangers_wrote_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = [PAYLOADS[place % len(PAYLOADS)] for place in range(90)]
    texts = [f"{label} word{place} and more words" for place, label in enumerate(labels)]
    values = rng.random(90), rng.random(90)
    score = Score(0.3, 0.001, lambda _: 0.2)  # type: ignore[arg-type]
    items = [
        comparison("text_content", texts, texts[::-1], score=score),
        comparison("predicted_label", labels, labels[:50] * 2, score=score),
        comparison("language", labels, labels[::-1], score=score),
        comparison("confidence", *values, score=score),
        comparison("embedding", rng.random((90, 2)), rng.random((90, 2)), score=score),
    ]
    signals = [
        Signal(
            name=item.name, title=item.title, measure="", status="breach", value=0.3, threshold=0.2, floor=0.1,
            p_value=0.001, p_adjusted=0.001, words=" ".join(PAYLOADS), reference_texts=90, window_texts=90,
        )
        for item in items
    ]  # fmt: skip
    drift = Drift(status="breach", alpha=0.01, signals=signals)
    write_evidently_page(items, drift, tmp_path / "page.html", show_texts=True)
    dialogs: list[str] = []
    complaints: list[str] = []
    asked: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector("text=confidence")
        for title in ("Tests", "Metrics"):
            page.click(f"text={title} >> nth=0")
        assert page.locator("a[href^='javascript' i]").count() == 0
        assert page.locator("img[src='x']").count() == 0
        # A script that gets into the page all the same is not run: its hash is not in the policy.
        page.evaluate("document.body.appendChild(document.createElement('script')).textContent = 'alert(0)'")
        page.wait_for_timeout(200)
        assert any("Content Security Policy" in message for message in complaints)
        assert not [message for message in complaints if "Content Security Policy" not in message]
        assert page.evaluate("document.images.length + document.querySelectorAll('svg').length") > 0
    assert dialogs == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [
        (tmp_path / "page.html").as_uri()
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_plain_words_stay_readable() -> None:
    assert harmless("Sports: 3 goals, 10% more (2026-01-31)") == "Sports: 3 goals, 10% more (2026-01-31)"
