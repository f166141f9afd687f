"""Moments as other programs write them."""

import re
from typing import Final

_WITHOUT_OFFSET: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?", re.ASCII)
"""A moment as many programs write it that mean UTC, and do not say so."""


def in_utc(moment: str) -> str:
    """Return a moment that says so where it has no offset from UTC; what is none stays as it is."""
    return f"{moment}Z" if _WITHOUT_OFFSET.fullmatch(moment) else moment
