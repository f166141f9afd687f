"""Whose fault a refusal is: a body that the gateway passes on was written by its caller."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator.clients.transport.answers import title
from orchestrator.clients.transport.http_errors import InputRefused
from orchestrator.errors import InvalidBody, Unprocessable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.downstream.operation import Operation


@contextmanager
def blaming_the_caller() -> Iterator[None]:
    """Have what a service says of a body that was passed on told as the caller's fault.

    Raises:
        Unprocessable: the service refused the body; its own code is in `details`.
    """
    try:
        yield
    except InputRefused as error:
        words = f"{title(error.service)} does not take this body."
        raise Unprocessable(words, details=error.details, service=error.service) from None


def check_required(operation: Operation, body: Mapping[str, Any]) -> None:
    """Refuse a body that lacks what the operation must have.

    Raises:
        InvalidBody: with every field that is missing.
    """
    faults = [
        FieldFault(f"$.{name}", "required field is missing") for name in operation.required if body.get(name) is None
    ]
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
