"""Settings that contradict one another are refused at the start."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from service.settings import ServiceSettings
from tests import golden_messages as messages


def test_defaults_hold_together():
    settings = ServiceSettings()
    assert settings.keys == ()
    assert settings.max_texts <= settings.queue_texts


def test_a_list_that_could_never_be_accepted_is_refused():
    with pytest.raises(ValidationError, match=messages.QUEUE_BELOW_MAX_TEXTS):
        ServiceSettings(queue_texts=10)


def test_keys_are_separated_by_commas_and_stay_secret():
    settings = ServiceSettings(api_keys=" first-key, second-key ,,")
    assert settings.keys == (b"first-key", b"second-key")
    assert "first-key" not in repr(settings)


def test_keys_that_hold_no_key_are_refused():
    with pytest.raises(ValidationError, match=messages.API_KEYS_EMPTY):
        ServiceSettings(api_keys=" , ")


def test_threads_default_to_the_cores_of_the_process():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert ServiceSettings(threads=None).cores == 1
        assert ServiceSettings(threads=3).cores == 3
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    "wrong",
    [{"request_timeout": 0}, {"poll_seconds": 0}, {"batch_tokens": 0}, {"log_level": "LOUD"}, {"threads": 0}],
)
def test_impossible_values_are_refused(wrong):
    with pytest.raises(ValidationError):
        ServiceSettings(**wrong)


def test_they_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MAX_TEXTS", "7")
    monkeypatch.setenv("LOG_PREDICTIONS", "false")
    monkeypatch.setenv("API_KEYS", "")
    settings = ServiceSettings()
    assert (settings.max_texts, settings.log_predictions, settings.keys) == (7, False, ())
