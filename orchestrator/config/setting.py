"""How one setting is declared."""

from collections.abc import Callable
from typing import Any

from attrs import field

from orchestrator.config.checks import Check


def setting(default: Any, *, says: str, check: Check | None = None, secret: bool = False) -> Any:
    """Declare a setting.

    Args:
        default: its value where nothing is set.
        says: what it does, for the reference and `nooble-orch config`.
        check: what it must be.
        secret: never printed; may also be read from the file that `ORCH_…_FILE` names.
    """
    shown: bool | Callable[[Any], str] = (lambda value: "'***'" if value else "''") if secret else True
    return field(default=default, repr=shown, metadata={"help": says, "check": check, "secret": secret})
