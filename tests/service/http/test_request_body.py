"""Bodies: strict JSON, in words that name the place and never the text."""

from __future__ import annotations

import pytest

from service.errors import MalformedRequest
from service.http.request_body import parse_json
from tests import golden_messages as messages


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"text": "a",}', "malformed_json"),
        (b'{"text": NaN}', "malformed_json"),
        (b'{"text": -Infinity}', "malformed_json"),
        (b'{"text": "a", "text": "b"}', "malformed_json"),
        (b'{"text": ' + b"1" * 5000 + b"}", "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b'{"text": "\xff"}', "invalid_encoding"),
        ('{"text": "é"}'.encode("utf-16"), "invalid_encoding"),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"text": "a"}', "malformed_json"),
    ],
)
def test_what_is_not_json_is_refused(body, code):
    with pytest.raises(MalformedRequest) as refusal:
        parse_json(body)
    assert refusal.value.code == code


def test_the_message_names_the_place_and_not_the_text():
    with pytest.raises(MalformedRequest, match=messages.JSON_PLACE) as refusal:
        parse_json(b'{"text": "a secret",\n secret}'.replace(b"\n ", b"\n"))
    assert "secret" not in str(refusal.value)


def test_json_is_read():
    body = '{"text": ["é", "\\u00e9"]}'.encode()
    assert parse_json(body) == parse_json(b"\xef\xbb\xbf" + body) == {"text": ["é", "é"]}
