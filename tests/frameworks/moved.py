"""Telling which library has moved."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any


def need(holds: object, library: str, what: str) -> None:
    """Fail with a sentence that names the library unless something that we use of it is as it was."""
    assert holds, f"{library} {version(library)} has moved: {what} (docs/decisions/0009-inside-libraries.md)"


def takes(function: Callable[..., Any], *names: str) -> bool:
    """Tell whether a function has these parameters, first and in this order."""
    return tuple(inspect.signature(function).parameters)[: len(names)] == names
