"""Reading of documented names: an alias becomes the service's own name, before anything is checked."""

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault


def read_aliases(fields: dict[str, Any], aliases: Mapping[str, str], path: str) -> dict[str, Any]:
    """Return fields under the service's own names.

    Args:
        fields: as they were sent.
        aliases: the service's own name by the documented one.
        path: of the fields, such as `$.data`.

    Raises:
        InvalidBody: a documented name stands beside its counterpart, or beside another name for that.
    """
    if aliases.keys().isdisjoint(fields):
        return fields
    own = {name: value for name, value in fields.items() if name not in aliases}
    faults = []
    for alias, name in aliases.items():
        if alias not in fields:
            continue
        if name in own:
            faults.append(FieldFault(f"{path}.{alias}", f"is another name for '{name}', which is given too"))
        own[name] = fields[alias]
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
    return own
