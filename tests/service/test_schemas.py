"""Wrong content: the code, the field, and a reason that never repeats a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidContent
from service.requests import ClassifyRequest, ContentLimits, FeedbackRequest, validated
from tests import golden_messages as messages

SECRET = "a private sentence"


def refusal(kind, body) -> InvalidContent:
    with pytest.raises(InvalidContent) as caught:
        validated(kind, body)
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.field)
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (None, "wrong_type", None),
        ([SECRET], "wrong_type", None),
        ({}, "missing_field", "text"),
        ({"text": ""}, "empty_text", "text"),
        ({"text": " \n\t\u00a0"}, "empty_text", "text"),
        ({"text": []}, "no_texts", "text"),
        ({"text": 7}, "wrong_type", "text"),
        ({"text": None}, "wrong_type", "text"),
        ({"text": {"a": SECRET}}, "wrong_type", "text"),
        ({"text": [SECRET, SECRET, " "]}, "empty_text", "text[2]"),
        ({"text": [SECRET, 3]}, "wrong_type", "text[1]"),
        ({"text": [[SECRET]]}, "wrong_type", "text[0]"),
        ({"text": SECRET + "\0"}, "invalid_character", "text"),
        ({"text": [SECRET, "\ud800" + SECRET]}, "invalid_character", "text[1]"),
        ({"text": SECRET, "top_k": 0}, "invalid_top_k", "top_k"),
        ({"text": SECRET, "top_k": -3}, "invalid_top_k", "top_k"),
        ({"text": SECRET, "top_k": 1.5}, "invalid_top_k", "top_k"),
        ({"text": SECRET, "top_k": True}, "invalid_top_k", "top_k"),
        ({"text": SECRET, "top_k": "3"}, "invalid_top_k", "top_k"),
        ({"text": SECRET, "top_k": float("inf")}, "invalid_top_k", "top_k"),
        ({"text": SECRET, "on_too_long": "ignore"}, "unknown_option", "on_too_long"),
        ({"text": SECRET, "on_too_long": 5}, "unknown_option", "on_too_long"),
        ({"text": SECRET, "topk": 3}, "unknown_field", "key 2"),
        ({SECRET: 3, "text": SECRET}, "unknown_field", "key 1"),
        ({"text": "a" * 100_001}, "text_too_long", "text"),
        ({"text": ["a", "a" * 100_001]}, "text_too_long", "text[1]"),
        ({"text": ["a", 1] * 501}, "too_many_texts", "text"),
    ],
)
def test_a_wrong_classify_request_is_told_where(body, code, field):
    error = refusal(ClassifyRequest, body)
    assert (error.code, error.field) == (code, field)


def test_an_unknown_field_is_answered_with_the_nearest_known():
    assert messages.FIELD_MISSPELT in str(refusal(ClassifyRequest, {"text": SECRET, "txet": SECRET}))
    assert messages.FIELDS_KNOWN in str(refusal(ClassifyRequest, {"text": SECRET, "qqqq": 1}))
    feedback = {"feedback": [{"id": "a", "label": "b", "labell": "c"}]}
    assert messages.FIELD_MISSPELT_IN_LIST in str(refusal(FeedbackRequest, feedback))


def test_limits_come_from_the_settings():
    limits = ContentLimits(max_texts=2, max_text_chars=3)
    assert validated(ClassifyRequest, {"text": ["abc", "d"]}, limits).texts == ["abc", "d"]
    for kind, body, code in (
        (ClassifyRequest, {"text": ["a"] * 3}, "too_many_texts"),
        (ClassifyRequest, {"text": "abcd"}, "text_too_long"),
        (FeedbackRequest, {"feedback": [{}] * 3}, "too_many_items"),
    ):
        with pytest.raises(InvalidContent) as caught:
            validated(kind, body, limits)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "missing_field", "feedback"),
        ({"feedback": []}, "empty_feedback", "feedback"),
        ({"feedback": "x"}, "wrong_type", "feedback"),
        ({"feedback": ["x"]}, "wrong_type", "feedback[0]"),
        ({"feedback": [{"id": "a", "label": "b"}, {"id": "c"}]}, "missing_field", "feedback[1].label"),
        ({"feedback": [{"id": 5, "label": "b"}]}, "wrong_type", "feedback[0].id"),
        ({"feedback": [{}] * 1001}, "too_many_items", "feedback"),
        ({"feedback": [{"id": "a", "label": "b", SECRET: 1}]}, "unknown_field", "feedback[0] key 3"),
        ({"feedback": [{"id": "a", "label": SECRET * 100}]}, "unknown_label", "feedback[0].label"),
    ],
)
def test_a_wrong_feedback_request_is_told_where(body, code, field):
    error = refusal(FeedbackRequest, body)
    assert (error.code, error.field) == (code, field)


def test_one_id_with_two_labels_in_a_list_is_refused():
    items = [{"id": "a", "label": "x"}, {"id": "a", "label": "x"}, {"id": "a", "label": "y"}]
    assert validated(FeedbackRequest, {"feedback": items[:2]}).labels == {"a": "x"}
    request = validated(FeedbackRequest, {"feedback": items})
    with pytest.raises(InvalidContent) as caught:
        assert request.labels
    assert (caught.value.code, caught.value.field) == ("conflicting_feedback", "feedback[2]")


def test_an_id_that_no_store_could_hold_is_refused():
    request = validated(FeedbackRequest, {"feedback": [{"id": "a\0", "label": "x"}]})
    with pytest.raises(InvalidContent, match=r"feedback\[0\]\.id"):
        assert request.labels


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["text", "top_k", "on_too_long", "feedback", "other"]), json_values)
    | json_values
)
def test_any_json_is_either_valid_or_refused(body):
    for kind in (ClassifyRequest, FeedbackRequest):
        told = None
        try:
            content = validated(kind, body)
        except InvalidContent as error:
            told = error
        if told is None:
            assert isinstance(content, kind)
        else:
            assert told.code
            assert str(told).encode(), "every message can be sent as UTF-8"


@given(st.text(max_size=12, alphabet=st.one_of(st.characters(), st.sampled_from("a \0\n\ud800"))))
def test_one_text_without_options_is_checked_as_any_other(text):
    limits = ContentLimits(max_text_chars=8)

    def outcome(body):
        try:
            return validated(ClassifyRequest, body, limits)
        except InvalidContent as error:
            return error.code, error.field, error.message

    assert outcome({"text": text}) == outcome({"text": text, "top_k": None})
