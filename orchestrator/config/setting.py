"""How one setting is declared."""

from collections.abc import Callable
from typing import Any

from attrs import field

from orchestrator.config.checks import Check
from orchestrator.config.masking import MASK, mask_credentials


def setting(default: Any, *, says: str, check: Check | None = None, secret: bool = False) -> Any:
    """Declare a setting.

    Args:
        default: its value where nothing is set.
        says: what it does, for the reference and `nooble-orch config`.
        check: what it must be.
        secret: never printed; may also be read from the file that `ORCH_…_FILE` names.
    """
    shown: Callable[[Any], str] = (lambda value: repr(MASK if value else "")) if secret else _without_credentials
    return field(default=default, repr=shown, metadata={"help": says, "check": check, "secret": secret})


def _without_credentials(value: Any) -> str:
    return mask_credentials(repr(value))
