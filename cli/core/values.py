"""JSON values on the command line."""

import json
from typing import Any


def json_value(text: str) -> Any:
    """Read a JSON value.

    Raises:
        ValueError: the text is no JSON, or contains a number that JSON can not express (`NaN`, `1e999`).
    """
    value = json.loads(text)
    # Python also reads numbers that no request body can carry.
    json.dumps(value, allow_nan=False)
    return value
