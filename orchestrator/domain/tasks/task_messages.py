"""Reading the messages of task queues, of this schema and the one before."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.codec import parse_request, structure
from orchestrator.errors import InvalidBody, PayloadTooLarge
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.tasks.task import TASK_SCHEMA_VERSION, TaskMessage

LARGEST: Final = 1_048_576
"""So many bytes may a message have."""
OLD_VERSION: Final = "1.0"


def upgrade(content: Mapping[str, Any]) -> dict[str, Any]:
    """Make a message of schema 1.0 one of 1.1; one of 1.1, or of another version, stays as it is.

    A message is of 1.0 where it says so, where it has no `schema_version`, or where it has `data` for `payload`.
    """
    upgraded = dict(content)
    version = upgraded.get("schema_version")
    if version is not None and version not in (OLD_VERSION, TASK_SCHEMA_VERSION):
        return upgraded
    upgraded["schema_version"] = TASK_SCHEMA_VERSION
    if "data" in upgraded and "payload" not in upgraded:
        upgraded["payload"] = upgraded.pop("data")
    return upgraded


def read_task_message(raw: bytes, tenant_id: str) -> TaskMessage:
    """Read an entry of a tenant's queue.

    Args:
        raw: JSON.
        tenant_id: whose queue it stood in.

    Raises:
        InvalidBody: it is no message of a version that is read here, or another tenant's; with every fault.
        PayloadTooLarge: it has more than `LARGEST` bytes.
    """
    if len(raw) > LARGEST:
        raise PayloadTooLarge(f"The message has {len(raw)} bytes, and at most {LARGEST} are taken.")
    content = parse_request(raw)
    if not isinstance(content, dict):
        raise InvalidBody("The message is not an object.", details=[FieldFault("$", "must be an object")])
    message = structure(upgrade(content), TaskMessage)
    if message.schema_version != TASK_SCHEMA_VERSION:
        raise _fault("$.schema_version", f"must be {TASK_SCHEMA_VERSION} or {OLD_VERSION}")
    if message.tenant_id != tenant_id:
        raise _fault("$.tenant_id", "is not the tenant of the queue")
    return message


def _fault(path: str, message: str) -> InvalidBody:
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])
