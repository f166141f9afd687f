"""Reading the messages of task queues, of this schema and the one before."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.codec import parse_request, structure
from orchestrator.errors import InvalidBody, PayloadTooLarge
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.timestamps import moment_fault
from orchestrator.models.tasks.task import TASK_SCHEMA_VERSION, TaskMessage

LARGEST: Final = 1_048_576
"""So many bytes may a message have."""
_MAJOR: Final = TASK_SCHEMA_VERSION.partition(".")[0]


def is_read(version: Any) -> bool:
    """Tell whether messages of a schema version are read: any 1.x; one that says none is of the first."""
    return version is None or (isinstance(version, str) and version.partition(".")[0] == _MAJOR)


def upgrade(content: Mapping[str, Any]) -> dict[str, Any]:
    """Make a message of any schema 1.x one of 1.1, which has `payload` for `data`; of others it stays as it is."""
    upgraded = dict(content)
    if not is_read(upgraded.get("schema_version")):
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
    return check_task_message(upgrade(content), tenant_id)


def check_task_message(content: Mapping[str, Any], tenant_id: str) -> TaskMessage:
    """Read the fields of a message.

    Raises:
        InvalidBody: it is no message of a version that is read here, or another tenant's; with every fault.
    """
    message = structure(content, TaskMessage)
    if message.schema_version != TASK_SCHEMA_VERSION:
        raise _fault("$.schema_version", f"must be {_MAJOR}.x, such as {TASK_SCHEMA_VERSION}")
    if message.tenant_id != tenant_id:
        raise _fault("$.tenant_id", "is not the tenant of the queue")
    check_moments(message)
    return message


def check_moments(message: TaskMessage) -> None:
    """Refuse a message whose moments can't be read: InvalidBody."""
    for name, moment in (("created_at", message.created_at), ("expires_at", message.expires_at)):
        if moment is not None and (wrong := moment_fault(moment)) is not None:
            raise _fault(f"$.{name}", wrong)


def _fault(path: str, message: str) -> InvalidBody:
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])
