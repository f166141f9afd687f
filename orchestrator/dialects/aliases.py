"""Documented names: read, an alias becomes the service's own name before anything is checked; refusals have it back."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from orchestrator.errors import ClientFault, InvalidBody
from orchestrator.models.common.envelope import FieldFault


def read_aliases(fields: dict[str, Any], aliases: Mapping[str, str], path: str) -> dict[str, Any]:
    """Return fields under the service's own names.

    Clients that write out all their optional fields say null where they have nothing to say: such an alias is left out.

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
        if fields.get(alias) is None:
            continue
        if name in own:
            faults.append(FieldFault(f"{path}.{alias}", f"is another name for '{name}', which is given too"))
        own[name] = fields[alias]
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
    return own


def retell(refused: ClientFault, names: Mapping[str, str], data: Any, path: str) -> None:
    """Give a refusal the names that its client has written.

    Args:
        refused: with the service's own names.
        names: those, in dots where they stand inside of others, by the documented ones.
        data: as it was sent.
        path: of the fields, such as `$.data`.
    """
    said = {f"{path}.{name}": f"{path}.{alias}" for alias, name in names.items() if _has(data, alias)}
    for at, fault in enumerate(refused.details):
        told = _path(fault.path, said)
        if refused.message.startswith(f"{fault.path} "):
            refused.message = told + refused.message.removeprefix(fault.path)
        refused.details[at] = evolve(fault, path=told)


def _path(own: str, said: Mapping[str, str]) -> str:
    """Return the path of what stands where the service has `own`."""
    for name, alias in said.items():
        if own == name or own.startswith((f"{name}.", f"{name}[")):
            return alias + own.removeprefix(name)
    return own


def _has(data: Any, place: str) -> bool:
    """Tell whether something was said in a place; null says nothing."""
    for name in place.split("."):
        if not isinstance(data, dict) or data.get(name) is None:
            return False
        data = data[name]
    return True
