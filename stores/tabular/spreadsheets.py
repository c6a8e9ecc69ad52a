"""Cells that a spreadsheet takes for text, whatever strangers wrote into them."""

from __future__ import annotations

import re

_SIGNS = "=+\\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
"""What begins a formula; also in full width and small forms, which spreadsheets of some languages normalise."""
_BLANK = "[^\\S\\t\\r\\n]"
_BEGINS = re.compile(rf"[\t\r\n]|[\s\"'\ufeff\u200b]*[{_SIGNS}]")
_BEGINS_INSIDE = re.compile(rf"([;\t\r\n](?:{_BLANK}|[\"'\ufeff\u200b])*)(?=[{_SIGNS}])")


def spreadsheet_safe(text: str) -> str:
    """`text` with an apostrophe before each place where a spreadsheet would begin a formula.

    The beginning of the cell is one, and so is what follows a semicolon, a tab or a line break: where the list
    separator of the user's language is not the file's, quotes do not protect them.
    """
    inside = _BEGINS_INSIDE.sub(r"\1'", text)
    return "'" + inside if _BEGINS.match(inside) else inside
