"""What a kind of tasks asks of a payload: which fields it has, and of which types."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.tasks.task import TaskMessage

_NAMES: Final[Mapping[type, str]] = {str: "a string", int: "an integer", dict: "an object", list: "a list"}


@frozen
class PayloadField:
    """A field of a payload.

    Args:
        type: of its value.
        required: whether a payload has it; else it may be left out, or be null.
        least: of an integer.
        most: of an integer.
    """

    type: type
    required: bool = True
    least: int | None = None
    most: int | None = None

    def fault(self, payload: Mapping[str, Any], name: str) -> str | None:
        """Say what is wrong with the field in a payload; None: nothing is."""
        value = payload.get(name)
        if value is None:
            return "required field is missing" if self.required else None
        if not isinstance(value, self.type) or isinstance(value, bool):
            return f"must be {_NAMES[self.type]}"
        if isinstance(value, int) and self.least is not None and value < self.least:
            return f"must be at least {self.least}"
        if isinstance(value, int) and self.most is not None and value > self.most:
            return f"must be at most {self.most}"
        return None


GIVEN_ALONG: Final = {
    "agent_config": PayloadField(dict, required=False),
    "context": PayloadField(dict, required=False),
    "tools": PayloadField(list, required=False),
    "attachments": PayloadField(list, required=False),
}
"""What a question to an agent may have beside."""


def check_payload(message: TaskMessage, fields: Mapping[str, PayloadField]) -> None:
    """Refuse a message whose payload is not what its kind asks for; further fields are passed over.

    Raises:
        InvalidBody: with every fault and its path.
    """
    faults = [
        FieldFault(f"$.payload.{name}", fault)
        for name, field in fields.items()
        if (fault := field.fault(message.payload, name)) is not None
    ]
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
