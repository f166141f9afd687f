"""What a replay takes over, and what it changes."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault


def changed(message: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task message with new values at some paths; the one that was given stays as it is.

    Args:
        message: a message, as plain data.
        changes: values by path: within `payload`, `priority`, or `metadata.timeout_ms`.

    Raises:
        InvalidBody: a path can't be changed, or leads nowhere; with every such path.
    """
    result = deepcopy(dict(message))
    faults = []
    for path, value in changes.items():
        steps = path.split(".")
        if not (path in {"priority", "metadata.timeout_ms"} or (steps[0] == "payload" and len(steps) > 1)):
            faults.append(FieldFault(path, "can't be changed; payload.…, priority and metadata.timeout_ms can"))
        elif not _set(result, steps, value):
            faults.append(FieldFault(path, "leads nowhere"))
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
    return result


def _set(target: Any, steps: Sequence[str], value: Any) -> bool:
    *way, last = steps
    for step in way:
        if isinstance(target, list) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        elif isinstance(target, dict) and step:
            target = target.setdefault(step, {})
        else:
            return False
    if isinstance(target, list) and last.isdecimal() and int(last) < len(target):
        target[int(last)] = value
    elif isinstance(target, dict) and last:
        target[last] = value
    else:
        return False
    return True


def calls_before(done: Sequence[str], name: str, *, complete: bool) -> list[str]:
    """Return the calls whose results a replay from the call `name` on takes over.

    Args:
        done: the calls that were done, in their order.
        name: the first call that is done again; of a task that failed also the one that failed, which is not in `done`.
        complete: whether all calls of the task were done.

    Raises:
        InvalidBody: the task has no such call.
    """
    if name in done:
        return list(done[: done.index(name)])
    if complete:
        known = ", ".join(done) or "none"
        fault = FieldFault("$.data.from_call", f"names no call of the task; its calls: {known}")
        raise InvalidBody(f"{fault.path} {fault.message}.", details=[fault])
    return list(done)
