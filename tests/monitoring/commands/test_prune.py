"""The prune command, and a check over what it left."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from monitoring.cli import main
from stores.predictions.retention import Policy, Retention
from tests.monitoring.conftest import NOW, House, mistyped, normal

DAY = 86400.0


@pytest.fixture
def at_home(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The environment of the command points at the house."""
    monkeypatch.setenv("VAR_DIR", str(house.var))
    return house


def prune(*arguments: str, **settings: str) -> Result:
    return CliRunner().invoke(main, ["prune", *arguments], env=settings)


def test_it_says_what_it_would_do_and_then_does_it(at_home: House) -> None:
    texts, labels = normal(6)
    at_home.answer(texts[:2], at=NOW - 40 * DAY, labels=labels[:2])
    ids = at_home.answer(texts[2:4], at=NOW - 10 * DAY)
    at_home.answer(texts[4:], at=NOW - 60)
    settings = {"RETENTION_DAYS": "30", "RETENTION_TEXT_DAYS": "7"}
    said = prune("--dry-run", **settings).output
    assert "would have deleted: 2 predictions from before" in said
    assert "would have redacted: the texts of 2 predictions" in said
    assert at_home.store.count(0, 1e12) == 6
    done = prune(**settings).output
    assert "deleted: 2 predictions" in done
    assert "redacted: the texts of 2 predictions" in done
    assert at_home.store.count(0, 1e12) == 4
    assert [at_home.store.get(id_).text for id_ in ids] == ["", ""]  # type: ignore[union-attr]
    assert "deleted: 0 predictions" in prune(**settings).output


def test_hashes_have_a_key_and_tell_repeated_texts(at_home: House) -> None:
    texts = normal(2)[0]
    ids = at_home.answer([texts[0], texts[0], texts[1]], at=NOW - 10 * DAY)
    settings = {"RETENTION_TEXT_DAYS": "7", "RETENTION_TEXT": "hash"}
    refused = prune(**settings)
    assert refused.exit_code == 2
    assert "RETENTION_HASH_KEY is not set" in refused.stderr
    assert prune(**settings, RETENTION_HASH_KEY="a secret").exit_code == 0
    first, second, third = (at_home.store.get(id_).text for id_ in ids)  # type: ignore[union-attr]
    assert first == second != third
    assert first.startswith("hmac-sha256:")


def test_no_setting_is_nothing_to_do(at_home: House) -> None:
    at_home.answer(normal(2)[0], at=1.0)
    result = prune()
    assert result.exit_code == 0
    assert "nothing to do" in result.output
    assert at_home.store.count(0, 1e12) == 2
    assert "RETENTION_TEXT is 'shred'" in prune(RETENTION_TEXT="shred").stderr


def test_a_check_counts_redacted_answers_and_compares_others(at_home: House) -> None:
    texts, labels = normal(200)
    at_home.answer(texts[:100], at=NOW - 1800, labels=labels[:100])
    at_home.answer(texts[100:], at=NOW - 60)
    Retention(at_home.store, Policy(redact_before=NOW - 900)).forget(lambda _: "", now=NOW)
    verdict = at_home.verdict()
    by_name = {signal.name: signal for signal in verdict.drift.signals}
    assert verdict.status == "ok"
    assert by_name["confidence"].window_texts == by_name["predicted_label"].window_texts == 200
    assert by_name["text_length"].window_texts == 100
    assert by_name["text_content"].window_texts <= 100
    assert verdict.accuracy.labelled == 100
    assert verdict.window.repeated_texts == 0
    assert any("texts of 100 of the predictions read are gone" in note for note in verdict.notes)


def test_a_window_without_any_text_is_judged_by_its_answers(at_home: House) -> None:
    at_home.answer(mistyped(normal(150)[0], 0.5))
    Retention(at_home.store, Policy(redact_before=NOW)).forget(lambda _: "", now=NOW)
    verdict = at_home.check().verdict
    statuses = {signal.name: signal.status for signal in verdict.drift.signals}
    assert statuses["confidence"] == "breach"
    assert statuses["text_content"] == statuses["unseen_words"] == "insufficient_data"
    assert verdict.status == "breach"
