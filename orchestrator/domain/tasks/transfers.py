"""The file that a tenant's queued work travels in: a header, then an item a line, all of it JSON."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

from orchestrator.codec import decode, encode
from orchestrator.domain.tasks.task_messages import read_task_message
from orchestrator.errors import InvalidBody, OrchestratorError
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.operations.transfer import TransferHeader, TransferItem, TransferKind
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Lane, TaskMessage

FORMAT: Final = "nooble-orch-tenant"
VERSION: Final = 1
_OPEN: Final = frozenset(
    {SessionState.CREATED, SessionState.ACTIVE, SessionState.PROCESSING, SessionState.ERROR, SessionState.PAUSED,
     SessionState.SUSPENDED}
)  # fmt: skip


class DamagedFile(Exception):
    """A file that is none of this format, was cut off or changed, or is another tenant's; says what is wrong."""


def header_of(tenant_id: str, lines: Iterable[bytes], exported_at: str) -> bytes:
    """Return the first line of the file with these items."""
    digest, count = sha256(), 0
    for line in lines:
        digest.update(line)
        count += 1
    header = TransferHeader(FORMAT, VERSION, tenant_id, count, f"sha256:{digest.hexdigest()}", exported_at)
    return encode(header) + b"\n"


def check_file(lines: Iterable[bytes], tenant_id: str) -> int:
    """Check a whole file; returns how many items it has.

    Args:
        lines: the file's, with their ends.
        tenant_id: whose work it must hold.

    Raises:
        DamagedFile
    """
    rest: Iterator[bytes] = iter(lines)
    header = _header(next(rest, b""), tenant_id)
    digest, count = sha256(), 0
    for number, line in enumerate(rest, start=2):
        digest.update(line)
        count += 1
        if count > header.count:
            break
        try:
            check_item(decode(line, TransferItem), tenant_id)
        except OrchestratorError as error:
            raise DamagedFile(f"line {number}: {error.message.rstrip('.')}") from None
    if count != header.count:
        found = "more" if count > header.count else str(count)
        raise DamagedFile(f"it has {found} items, and its header says {header.count}")
    if f"sha256:{digest.hexdigest()}" != header.digest:
        raise DamagedFile("it was changed after it was written: its digest does not match")
    return count


def check_item(item: TransferItem, tenant_id: str) -> TaskMessage | None:
    """Check an item; returns a task's message.

    Raises:
        InvalidBody, PayloadTooLarge
    """
    if item.kind is TransferKind.SESSION:
        if item.fields.get("state") not in _OPEN:
            raise _fault("$.fields.state", "is not the state of an open session")
        for name in ("user_id", "agent_id"):
            if not item.fields.get(name):
                raise _fault(f"$.fields.{name}", "required field is missing")
        return None
    message = read_task_message(item.fields.get("message", "").encode(), tenant_id)
    if message.task_id != item.id:
        raise _fault("$.id", "is not the id of the message's task")
    if item.fields.get("lane") not in set(Lane):
        raise _fault("$.fields.lane", "must be high, normal or low")
    return message


def _header(line: bytes, tenant_id: str) -> TransferHeader:
    try:
        header = decode(line, TransferHeader)
    except InvalidBody:
        raise DamagedFile("its first line is no header of an export") from None
    if header.format != FORMAT:
        raise DamagedFile(f"its format is '{header.format}', not '{FORMAT}'")
    if header.version != VERSION:
        raise DamagedFile(f"its version is {header.version}, and {VERSION} is read here")
    if header.tenant_id != tenant_id:
        raise DamagedFile(f"it holds the work of tenant {header.tenant_id}, not of {tenant_id}")
    return header


def _fault(path: str, message: str) -> InvalidBody:
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])
