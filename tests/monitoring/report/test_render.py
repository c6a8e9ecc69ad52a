"""The page in a real browser: whole without a network, fit for a phone, and silent about texts unless told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.monitoring.conftest import House, mistyped, normal
from tests.support.browser import chromium

PHONE = {"width": 375, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_the_page_opens_with_the_verdict_and_needs_no_network(house: House, browser: Browser) -> None:
    texts, labels = normal(100)
    house.answer(mistyped(texts), labels=labels)
    checked = house.check()
    report = checked.report
    page = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report.as_uri())
    assert page.inner_text("h1") == "The traffic has changed"
    assert "unseen words" in page.inner_text("main")
    advice = page.locator("header li").first.bounding_box()
    assert advice is not None
    assert advice["y"] + advice["height"] < PHONE["height"], "advice is on the first screen"
    headings = page.locator("h2").all_inner_texts()
    assert headings[:2] == ["What to do", "Why"]
    assert headings.index("Signals") > 1
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert complaints == []
    assert [page.is_visible(f"h2:text-is('{title}')") for title in ("What to do", "Affected classes")] == [
        True
    ] * 2
    assert "python -m monitoring check --on-breach retrain" in page.locator("li code").all_inner_texts()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    broken = "[...document.images].filter(image => image.naturalWidth === 0).length"
    assert page.evaluate("document.images.length") == 13  # overview, ten signals, map, classes
    assert page.evaluate(broken) == 0
    assert page.evaluate("[...document.images].every(image => image.alt)")
    page.click("text=Evidently's report")
    page.wait_for_selector("text=confidence")
    assert not [url for url in asked if url.startswith("http")]
    page.close()


def test_no_text_leaves_the_store_unless_the_setting_allows_it(house: House) -> None:
    texts = normal(100)[0]
    house.answer(texts)
    closed = house.check()
    for path in closed.folder.iterdir():
        content = path.read_text(encoding="utf-8")
        assert not [text for text in texts if text[:60] in content], path.name
    shown = house.check(monitoring_show_texts=True).report.read_text(encoding="utf-8")
    assert "Texts least like the reference" in shown


def test_markup_in_a_text_stays_text(house: House) -> None:
    texts = [f"<script>alert({number})</script> {text}" for number, text in enumerate(normal(60)[0])]
    house.answer(texts)
    page = house.check(monitoring_show_texts=True).report.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page


def test_evidentlys_page_and_ours_decide_alike(house: House, tmp_path: Path) -> None:
    import numpy as np

    from monitoring.champion import find_champion
    from monitoring.drift.compute import measure_drift
    from monitoring.report.evidently import write_evidently_page
    from monitoring.settings import MonitoringSettings
    from monitoring.window import read_window
    from stores.settings import SigningSettings
    from tests.monitoring.conftest import WINDOW

    house.answer(mistyped(normal(100)[0]) + normal(50)[0])
    champion = find_champion(house.registry, house.tracking, SigningSettings())
    window = read_window(house.store, champion, *WINDOW, max_texts=1000)
    drift, comparisons = measure_drift(
        champion.reference, window, MonitoringSettings(), np.random.default_rng(1)
    )
    theirs = write_evidently_page(comparisons, drift, tmp_path / "evidently.html", show_texts=True)
    judged = [signal for signal in drift.signals if signal.status in ("ok", "breach")]
    assert {signal.name for signal in drift.signals} - set(theirs) == {"service_latency"}
    for signal in judged:
        assert theirs[signal.name] == pytest.approx(signal.value), signal.name
        assert signal.threshold is not None
        assert (theirs[signal.name] >= signal.threshold) == (signal.status == "breach"), signal.name
