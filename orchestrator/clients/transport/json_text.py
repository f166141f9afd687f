"""JSON of services, with the halves of a character that orjson refuses.

A character beyond U+FFFF, such as an emoji, is two surrogates in the escapes of JSON: `"\\ud83d\\ude00"`. A program
that cuts text by UTF-16 units sends one of them alone. RFC 8259 leaves to the reader what then happens; here the
standard library reads such a text, and a half without its other is replaced by U+FFFD, as is what is not UTF-8.
"""

import json
import re
from typing import Any, Final

import orjson

REPLACEMENT: Final = "\ufffd"
DEEPEST: Final = 100
"""Levels of a value with half characters."""
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""Some programs begin a text in UTF-8 with it; RFC 8259 lets a reader pass over it."""
_ALONE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_I64: Final = 2**63


def loads(raw: bytes) -> tuple[Any, bool]:
    """Parse JSON; returns the value, and whether its texts may have surrogates without their other half.

    Raises:
        ValueError: the bytes are no JSON.
    """
    try:
        return orjson.loads(raw), False
    except orjson.JSONDecodeError:
        if raw.startswith(BYTE_ORDER_MARK):
            return loads(raw.removeprefix(BYTE_ORDER_MARK))
        text = raw.decode(errors="replace")
        # Anything else that orjson refuses is no JSON, and the standard library takes some of it, such as NaN.
        if REPLACEMENT not in text and not _ESCAPED_HALF.search(raw):
            raise
    try:
        return json.loads(text, parse_int=_whole, parse_constant=_refuse), True
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def replace_halves(value: Any, depth: int = 0) -> Any:
    """Return a parsed value whose texts have U+FFFD where they had half a character.

    Raises:
        ValueError: it is nested more deeply than `DEEPEST`.
    """
    if depth > DEEPEST:
        raise ValueError("the JSON is nested too deeply")
    if isinstance(value, str):
        return _ALONE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [replace_halves(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_ALONE.sub(REPLACEMENT, name): replace_halves(item, depth + 1) for name, item in value.items()}
    return value


def split_half(text: str) -> tuple[str, str]:
    """Return a text without the first half of a character that it may end with, and that half.

    All other halves are replaced; two that follow each other are joined to a character first.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    return _ALONE.sub(REPLACEMENT, text[: len(text) - len(half)]), half


def _whole(digits: str) -> int | float:
    """Read a number without fraction as orjson does: one beyond 64 bits is a float."""
    number = int(digits)
    return number if -_I64 <= number < 2 * _I64 else float(number)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
