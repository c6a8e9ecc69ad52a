"""The pages in a real browser: they work, fit a phone, and speak to this service only."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.http.pages import pages
from stores.predictions import LabelledPrediction, PredictionStore
from tests.support.browser import chromium
from tests.support.servers import Server, serving

pytestmark = pytest.mark.slow

TEXT = "Shares in London fell sharply after the bank raised rates."
DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 375, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Visit:
    """A page, and all that it asked and said."""

    def __init__(self, browser: Browser, address: str, size: dict[str, int]) -> None:
        self.page: Page = browser.new_page(viewport=size)  # type: ignore[arg-type]
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._heard(message))
        self.address = address

    def _heard(self, message) -> None:
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.complaints.append(message.text)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path, wait_until="networkidle")
        return self.page

    def picture(self, name: str) -> None:
        """Kept for people where SCREENSHOTS names a folder."""
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def check(self) -> None:
        assert self.hosts - {""} == {urlsplit(self.address).netloc}
        assert self.complaints == []
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, "the page is wider than the screen"
        self.page.close()


def newest(server: Server) -> LabelledPrediction:
    """The last prediction of the page."""
    store = PredictionStore.open(f"sqlite:///{server.log.parent / 'predictions.db'}")
    found = store.window(0, 1e11, sources=["ui"], limit=1)[0]
    store.close()
    return found


@pytest.mark.parametrize(("size", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")])
def test_a_label_is_shown_and_confirmed_or_corrected(browser, server: Server, size, name):
    visit = Visit(browser, server.address, size)
    page = visit.open("/ui")
    visit.picture(f"ui-{name}-start")
    page.get_by_label("Classify a text").fill(TEXT)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator("#label")).to_have_text("business")
    bars = page.get_by_role("list", name="Probability of each label").get_by_role("listitem")
    expect(bars).to_have_count(5)
    expect(bars.first).to_contain_text("business")
    shares = [float(text.split("%")[0]) for text in page.locator("#bars .value").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    widths = [element.bounding_box()["width"] for element in page.locator("#bars .fill").all()]
    assert widths == sorted(widths, reverse=True)
    expect(page.locator("#answered-by")).to_contain_text("news version 1 (champion) answered in")
    facts = page.get_by_role("complementary", name="The model")
    expect(facts).to_contain_text("models:/news@champion")
    figures = page.locator("#figures")
    expect(figures).to_contain_text("Macro-F1")
    expect(figures).to_contain_text("0.938 to 0.961 (95 %)")
    expect(figures).to_contain_text("0.8 MB")
    expect(figures).to_contain_text("1.7 ms")
    for hidden in ("seed", "megabytes", "0.7519"):
        expect(facts).not_to_contain_text(hidden)

    # Right and wrong are asked for alike: two buttons of one size, neither chosen.
    yes = page.get_by_role("button", name="Yes, correct")
    no = page.get_by_role("button", name="No, incorrect")
    expect(yes).to_have_attribute("aria-pressed", "false")
    expect(no).to_have_attribute("aria-pressed", "false")
    assert yes.bounding_box()["height"] == no.bounding_box()["height"]
    assert yes.bounding_box()["width"] == pytest.approx(no.bounding_box()["width"], abs=12)
    expect(page.get_by_label("Correct label")).to_be_hidden()
    yes.click()
    expect(page.get_by_role("status")).to_have_text("Saved: the correct label is business.")
    visit.picture(f"ui-{name}-answer")
    assert (newest(server).true_label, newest(server).source) == ("business", "ui")

    no.click()
    options = page.get_by_label("Correct label").locator("option").all_inner_texts()
    assert options == ["Choose a label", "entertainment", "politics", "sports", "tech"]
    page.get_by_label("Correct label").select_option("politics")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Saved: the correct label is politics.")
    visit.picture(f"ui-{name}-corrected")
    visit.check()
    assert (newest(server).text, newest(server).true_label) == (TEXT, "politics")


def test_the_keyboard_is_enough(browser, server):
    visit = Visit(browser, server.address, DESKTOP)
    page = visit.open("/ui")
    page.get_by_label("Classify a text").focus()
    page.keyboard.type("The striker scored twice in the cup final.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#label")).to_have_text("sports")
    visit.check()


def test_a_text_is_shown_as_text_and_errors_are_said(browser, server):
    visit = Visit(browser, server.address, PHONE)
    page = visit.open("/ui")
    page.get_by_label("Classify a text").fill("   ")
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_role("alert")).to_contain_text("Text is empty or blank: there is nothing to classify.")
    visit.picture("ui-phone-error")
    page.get_by_label("Classify a text").fill("<img src=x onerror=alert(1)> goal")
    page.get_by_role("button", name="Classify").click()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()
    visit.check()


def test_the_api_page_works_without_the_internet(browser, server):
    visit = Visit(browser, server.address, DESKTOP)
    page = visit.open("/")
    expect(page.get_by_role("heading", name="Champion")).to_be_visible()
    expect(page.locator(".opblock")).to_have_count(8)
    page.locator("#operations-classification-classify .opblock-summary").click()
    page.locator("#operations-classification-classify .execute").click()
    expect(
        page.locator("#operations-classification-classify .live-responses-table .response-col_status").last
    ).to_contain_text("200")
    assert newest(server).text == "Shares in London fell sharply after the bank raised rates."
    shown = page.locator("#operations-classification-classify .curl-command").inner_text()
    assert "X-Source" not in shown  # to be copied into programs
    visit.picture("api-desktop")
    visit.check()


def test_the_api_page_fits_a_phone(browser, server):
    visit = Visit(browser, server.address, PHONE)
    visit.open("/")
    visit.picture("api-phone")
    visit.check()


def test_with_keys_the_page_asks_for_one(browser, bundle, tmp_path):
    with serving(tmp_path, {"MODEL_URI": str(bundle), "API_KEYS": "open-sesame"}) as server:
        visit = Visit(browser, server.address, PHONE)
        page = visit.open("/ui")
        dialog = page.get_by_role("dialog", name="A key is needed")
        expect(dialog).to_be_visible()
        visit.picture("ui-phone-key")
        page.get_by_label("Key", exact=True).fill("wrong")
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("dialog", name="This key is not accepted")).to_be_visible()
        page.get_by_label("Key", exact=True).fill("open-sesame")
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("complementary", name="The model")).to_contain_text("folder")
        page.get_by_label("Classify a text").fill(TEXT)
        page.get_by_role("button", name="Classify").click()
        expect(page.locator("#label")).to_have_text("business")
        visit.check()


def test_without_a_model_the_page_says_so(browser, tmp_path):
    with serving(tmp_path, until="/livez") as server:
        visit = Visit(browser, server.address, PHONE)
        page = visit.open("/ui")
        expect(page.locator("#no-model")).to_contain_text("no model is loaded yet")
        page.get_by_label("Classify a text").fill(TEXT)
        page.get_by_role("button", name="Classify").click()
        expect(page.get_by_role("alert")).to_contain_text("No model is loaded yet")
        visit.picture("ui-phone-no-model")
        visit.check()


def test_every_page_and_asset_names_no_other_host(server: Server):
    with server.client() as client:
        for path in pages():
            response = client.get(path)
            assert response.status_code == 200, path
            policy = response.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert response.headers["x-content-type-options"] == "nosniff"
            if response.headers["content-type"].startswith("text/html"):
                assert "http" not in response.text.replace("<!doctype html>", ""), path


def test_assets_have_the_types_that_browsers_insist_on(server: Server):
    with server.client() as client:
        types = {path: client.get(path).headers["content-type"].partition(";")[0] for path in pages()}
    assert types["/ui/app.js"] == "text/javascript"
    assert types["/ui/style.css"] == "text/css"
    assert types["/ui/icon.svg"] == "image/svg+xml"
    assert types["/openapi.json"] == "application/json"
    assert types["/ui"] == "text/html"
    assert httpx.get(server.address + "/ui/").status_code == 404


class _PrefixProxy(BaseHTTPRequestHandler):
    """A proxy that offers a service under /ml/, and answers nothing beside it."""

    upstream = ""
    keeps_prefix = False

    def _forward(self) -> None:
        if not self.path.startswith("/ml/"):
            self.send_error(404)
            return
        path = self.path if self.keeps_prefix else self.path.removeprefix("/ml")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "connection", "content-length", "accept-encoding")
        }
        headers = {**kept, "X-Forwarded-Prefix": "/ml"}
        answer = httpx.request(self.command, self.upstream + path, content=body, headers=headers, timeout=30)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "date"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = _forward

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("keeps_prefix", [False, True])
def test_the_pages_work_behind_a_prefix(browser, server: Server, keeps_prefix):
    handler = type("Handler", (_PrefixProxy,), {"upstream": server.address, "keeps_prefix": keeps_prefix})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        visit = Visit(browser, f"http://127.0.0.1:{proxy.server_port}", DESKTOP)
        page = visit.open("/ml/ui")
        page.get_by_label("Classify a text").fill(TEXT)
        page.get_by_role("button", name="Classify").click()
        expect(page.locator("#label")).to_have_text("business")
        page.get_by_role("link", name="API").click()
        expect(page).to_have_url(f"{visit.address}/ml/")
        page.locator("#operations-classification-classify .opblock-summary").click()
        page.locator("#operations-classification-classify .execute").click()
        expect(
            page.locator(
                "#operations-classification-classify .live-responses-table .response-col_status"
            ).last
        ).to_contain_text("200")
        assert "/ml/classify" in page.locator("#operations-classification-classify .request-url").inner_text()
        visit.check()
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def test_the_pages_name_no_absolute_address(server: Server):
    with server.client() as client:
        for path in ("/", "/ui", "/ui/app.js", "/ui/api.js"):
            text = client.get(path).text
            assert not re.search(r"""(href|src|url|fetch|ask)\s*[=(:]\s*["']/""", text), path
        assert client.get("/openapi.json").json()["servers"] == [{"url": "./"}]
