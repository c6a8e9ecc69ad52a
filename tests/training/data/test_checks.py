"""Checks of the data: each fault is planted in real text and found, and clean text is not accused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests import golden_messages as messages
from tests.support.bundles import bbc_part
from training.config.data import ChecksConfig, Limits
from training.data import DataConfig, DataRefused, Part, Splits, load_data, split_data
from training.data.checks import Reader, balance, check_data
from training.data.dataset import LoadedData
from training.data.findings import Finding, Findings
from training.data.plots import write_data_page

GERMAN = (
    "Der Verein hat gestern Abend im Stadion gegen den Tabellenführer mit zwei zu eins gewonnen, und die Zuschauer "
    "feierten noch lange nach dem Schlusspfiff mit den Spielern. Artikel Nummer "
)


@pytest.fixture(scope="module")
def clean() -> tuple[LoadedData, Splits]:
    config = DataConfig(limit=200)
    loaded = load_data(config, 1)
    return loaded, split_data(loaded, config, 1)


def _checked(loaded: LoadedData, splits: Splits, **checks: object) -> dict[str, Finding]:
    config = DataConfig(limit=200, checks=ChecksConfig.model_validate({"language_texts": 60, **checks}))
    found = check_data(loaded, splits, config, seed=1, readers={"tiny": Reader(32, _words)})
    return {finding.name: finding for finding in found.findings}


def _words(texts: object) -> list[int]:
    return [len(text.split()) for text in texts]  # type: ignore[attr-defined]


def _written(path: Path, rows: list[tuple[str, str]]) -> DataConfig:
    Part([text for text, _ in rows], [label for _, label in rows]).write_jsonl(path)
    return DataConfig(source=str(path))


def test_clean_text_is_not_accused(clean: tuple[LoadedData, Splits]) -> None:
    found = _checked(*clean)
    assert {name for name, item in found.items() if item.severity == "error"} == set()
    assert found["leaks"].value == 0
    assert found["conflicting_labels"].value == 0
    assert found["other_languages"].value == 0
    assert "in 'en'" in found["other_languages"].words
    assert 1 <= found["imbalance"].value < 3
    assert found["truncated_tiny"].value == 1
    assert found["truncated_tiny"].severity == "warning"


def test_a_leak_stops_the_run_exact_or_near(clean: tuple[LoadedData, Splits]) -> None:
    loaded, splits = clean
    shouted = splits.test.texts[0].upper().replace(",", "")
    nearly = " ".join([*splits.test.texts[1].split()[:-5], "and", "so", "on"])
    leaking = Part([*splits.train.texts, shouted, nearly], [*splits.train.labels, "tech", "tech"])
    found = _checked(loaded, dataclasses.replace(splits, train=leaking))["leaks"]
    assert found.severity == "error"
    assert found.value == 4
    assert found.examples[0].startswith("train: ")
    assert "⇄ test: " in found.examples[0]
    with pytest.raises(DataRefused, match=messages.TEXTS_IN_TWO_PARTS):
        Findings((found,), {}).stop_if_grave()


def test_copies_and_contradictions_are_counted_and_quoted(tmp_path: Path) -> None:
    texts, labels = bbc_part(0, 15)
    rows = list(dict.fromkeys(zip(texts, labels, strict=True)))
    rows += [rows[0], (texts[1], "elsewhere"), (texts[2] + " The end.", "elsewhere")]
    rows += [(f"Somewhere else, text {i} of its own about gardens", "elsewhere") for i in range(20)]
    config = _written(tmp_path / "rows.jsonl", rows)
    loaded = load_data(config, 1)
    findings = check_data(loaded, split_data(loaded, config, 1), config, seed=1)
    found = {finding.name: finding for finding in findings.findings}
    assert found["duplicates"].value == pytest.approx(1 / len(rows))
    conflicts = found["conflicting_labels"]
    assert conflicts.words.startswith(
        "2 rows whose copies have other labels are dropped; 2 texts in 1 groups"
    )
    assert conflicts.severity == "warning"
    assert len(conflicts.examples) == 2
    assert all("elsewhere ×1" in example for example in conflicts.examples)


def test_other_languages_and_rows_that_are_no_text_are_found(tmp_path: Path) -> None:
    texts, labels = bbc_part(0, 25)
    rows = list(zip(texts, labels, strict=True))
    rows += [(f"{GERMAN} {number}", "sports") for number in range(20)]
    rows += [
        ("<p>Shares fell today</p> in London", "business"),
        ("Itâ€™s the economy that matters now", "business"),
        ("12345 67890 !!!", "business"),
        ("ok then", "business"),
    ]
    config = _written(tmp_path / "rows.jsonl", rows)
    loaded = load_data(config, 1)
    findings = check_data(loaded, split_data(loaded, config, 1), config, seed=1)
    found = {finding.name: finding for finding in findings.findings}
    assert found["other_languages"].severity == "warning"
    assert findings.languages["de"] == 20
    assert "20 in 'de'" in found["other_languages"].words
    assert any(example.startswith("de: Der Verein") for example in found["other_languages"].examples)
    faults = " | ".join(found["suspicious"].examples)
    for fault in ("with markup", "in a wrong encoding", "without a letter", "very short"):
        assert fault in faults
    assert "<p>Shares" in faults


def test_limits_decide_how_grave_a_finding_is(clean: tuple[LoadedData, Splits]) -> None:
    _, splits = clean
    assert balance(splits, ChecksConfig(imbalance=Limits(warn=1))).severity == "warning"
    assert balance(splits, ChecksConfig(imbalance=Limits(stop=1))).severity == "error"
    assert balance(splits, ChecksConfig(imbalance=Limits())).severity == "note"
    with pytest.raises(ValueError, match=messages.RANGE_REVERSED):
        Limits(warn=2, stop=1)


def test_the_page_is_one_file_and_escapes_what_it_quotes(
    clean: tuple[LoadedData, Splits], tmp_path: Path
) -> None:
    planted = Finding("suspicious", "Suspicious rows", 1.0, "One.", "error", ("<script>alert(1)</script>",))
    findings = Findings((planted,), {"en": 60, "unsure": 2})
    page = write_data_page(tmp_path, findings, clean[1], "news")
    written = page.read_text(encoding="utf-8")
    assert messages.DATA_CHECKS_FAILED in written
    assert "&lt;script&gt;alert(1)" in written
    assert "<script>" not in written
    assert written.count("data:image/") == 3
    assert "http://" not in written.replace("http://www.w3.org", "")
    assert "examples" not in findings.as_dict()["findings"][0]
