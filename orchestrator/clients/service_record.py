"""The record of a downstream service: all that the rest of the program knows of it."""

from collections.abc import Callable
from typing import Any

from attrs import Attribute, field, frozen

from orchestrator.clients.transport.transport import Transport
from orchestrator.models.downstream.operation import Operation


@frozen
class ServiceRecord:
    """A downstream service.

    Its stand-in is the module of the same name in `orchestrator.sandbox.services`.
    """

    name: str
    """As in the settings (`ORCH_SERVICES__{NAME}__URL`), plans and metrics: `agent_execution`."""
    client: Callable[[Transport], Any]
    """Class of the typed client."""
    operations: tuple[Operation, ...] = field()

    @operations.validator
    def _check(self, _: "Attribute[Any]", operations: tuple[Operation, ...]) -> None:
        names = {operation.name for operation in operations if operation.service == self.name}
        if len(names) < len(operations):
            raise ValueError(f"the operations of {self.name} are of another service, or two have one name")
