"""Values on the command line that are JSON."""

import json
from typing import Any


def json_value(text: str) -> Any:
    """Read a JSON value.

    Raises:
        ValueError: it is no JSON, or holds a number that JSON has no way to write (`NaN`, `1e999`).
    """
    value = json.loads(text)
    # Python reads more than there is: such a number could not be sent.
    json.dumps(value, allow_nan=False)
    return value
