"""Whether a plan can be run: all its faults at once, before any call is made."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.domain.plans import conditions, references
from orchestrator.errors import Unprocessable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.downstream.operation import Operations
from orchestrator.models.plans.orchestration import OrchestrationPlan, ServiceCall, Strategy
from orchestrator.models.plans.plan_request import CALL_NAME

CYCLE_CODE: Final = "WFLOW_VAL_001"
DEEPEST: Final = 16
"""Levels of a call's parameters."""
MOST_FAULTS: Final = 100
MOST_REFERENCES: Final = 500
"""In a plan: every one takes time, here and when it is followed."""
MOST_REFERENCES_OF_A_CALL: Final = 64
"""Each may stand for a large value, which is sent as often."""
_NAME: Final = re.compile(CALL_NAME, re.ASCII)
_RESERVED: Final = {
    "stream": "a plan takes whole results",
    "task_id": "it names the task that the plan is",
    "tenant_id": "a plan acts for the tenant that runs it",
}


def check(plan: OrchestrationPlan, operations: Operations, path: str = "$.data.plan") -> None:
    """Refuse a plan that can't be run.

    Args:
        plan: as it was sent.
        operations: all that there are.
        path: where it stands in what was sent.

    Raises:
        Unprocessable: with every fault and its path, `MOST_FAULTS` at most; a cycle's has the code `WFLOW_VAL_001`.
    """
    found = list(faults(plan, operations, path))
    if found:
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        message = f"The plan can't be run: {found[0].path} {found[0].message}{more}."
        raise Unprocessable(message, details=found[:MOST_FAULTS])


def faults(plan: OrchestrationPlan, operations: Operations, path: str = "$.data.plan") -> Iterator[FieldFault]:
    """Yield what keeps a plan from being run."""
    before = _before(plan)
    if sum(_count(call) for call in plan.calls.values()) > MOST_REFERENCES:
        yield FieldFault(f"{path}.calls", f"have more than {MOST_REFERENCES} references together")
        return
    for name, call in plan.calls.items():
        here = f"{path}.calls.{name}"
        if not _NAME.fullmatch(name):
            yield FieldFault(here, f"is no name for a call: it must match {CALL_NAME}")
        yield from _faults_of_operation(call, here, operations)
        yield from _faults_of_order(plan, name, here)
        if call.when is not None:
            yield from (FieldFault(*fault) for fault in conditions.faults(call.when, f"{here}.when"))
        looked = {"parameters": call.parameters, "when": call.when}
        yield from _faults_of_references(looked, here, plan, before[name], "does not depend on it")
        if call.compensate is not None:
            undo = f"{here}.compensate"
            yield from _faults_of_operation(call.compensate, undo, operations)
            yield from _faults_of_undo(call.compensate, undo, plan, before[name] | {name})
    if plan.strategy is Strategy.GRAPH:
        yield from _faults_of_cycles(plan, before, path)


def _faults_of_operation(call: ServiceCall, path: str, operations: Operations) -> Iterator[FieldFault]:
    operation = operations.get((call.service, call.operation))
    if operation is None:
        services = sorted({service for service, _ in operations})
        known = sorted(name for service, name in operations if service == call.service)
        if known:
            yield FieldFault(f"{path}.operation", f"is unknown; {call.service} has {', '.join(known)}")
        else:
            yield FieldFault(f"{path}.service", f"is unknown; there are {', '.join(services)}")
        return
    if operation.plan is None:
        yield FieldFault(f"{path}.operation", "can't be called by a plan")
        return
    here = f"{path}.parameters"
    given = {name: value for name, value in call.parameters.items() if name not in operation.reserved}
    for name in call.parameters.keys() & operation.reserved:
        yield FieldFault(f"{here}.{name}", f"can't be chosen: {_RESERVED[name]}")
    for name, fault in operation.faults(given):
        yield FieldFault(f"{here}.{name}", fault)
    if _is_deeper(call.parameters, DEEPEST):
        yield FieldFault(here, f"are nested more than {DEEPEST} levels deep")


def _faults_of_order(plan: OrchestrationPlan, name: str, path: str) -> Iterator[FieldFault]:
    names = list(plan.calls)
    for index, other in enumerate(plan.calls[name].depends_on):
        here = f"{path}.depends_on[{index}]"
        if other == name:
            yield FieldFault(here, "is the call itself")
        elif other not in plan.calls:
            yield FieldFault(here, f"is no call of the plan: {other[:64]!r}")
        elif plan.strategy is Strategy.PARALLEL:
            yield FieldFault(here, "can't be waited for: the calls of a parallel plan run all at once")
        elif plan.strategy is Strategy.SEQUENTIAL and names.index(other) > names.index(name):
            yield FieldFault(here, "comes later in this sequential plan")


def _faults_of_references(
    value: Any, path: str, plan: OrchestrationPlan, before: frozenset[str], otherwise: str
) -> Iterator[FieldFault]:
    found = references.find(value, path)
    if len(found) > MOST_REFERENCES_OF_A_CALL:
        yield FieldFault(path, f"has more than {MOST_REFERENCES_OF_A_CALL} references")
        return
    for where, text in found:
        try:
            reference = references.parse(text)
        except ValueError as error:
            yield FieldFault(where, f"{text[:100]} {error}; a plain string begins with '$$.'")
            continue
        for name in reference.calls:
            if name not in plan.calls:
                yield FieldFault(where, f"refers to {name[:64]!r}, which is no call of the plan")
            elif name not in before:
                yield FieldFault(where, f"refers to {name!r}, but {otherwise}")


def _faults_of_undo(
    undo: ServiceCall, path: str, plan: OrchestrationPlan, before: frozenset[str]
) -> Iterator[FieldFault]:
    if undo.compensate is not None:
        yield FieldFault(f"{path}.compensate", "can't be undone itself")
    if undo.when is not None or undo.depends_on:
        yield FieldFault(path, "takes no condition and no dependencies: it runs when the call is to be undone")
    looked = {"parameters": undo.parameters}
    yield from _faults_of_references(looked, path, plan, before, "the call that it undoes does not depend on it")


def _count(call: ServiceCall) -> int:
    parts = [call.parameters, call.when, call.compensate.parameters if call.compensate else None]
    return len(references.find(parts))


def _before(plan: OrchestrationPlan) -> dict[str, frozenset[str]]:
    """Return, by call, the calls that are settled before it begins."""
    names = list(plan.calls)
    if plan.strategy is Strategy.SEQUENTIAL:
        return {name: frozenset(names[:index]) for index, name in enumerate(names)}
    return _reachable(plan.calls)


def _reachable(calls: Mapping[str, ServiceCall]) -> dict[str, frozenset[str]]:
    """Return, by call, all that it depends on, directly or through others (Warshall's closure, a bit a call)."""
    bits = {name: 1 << index for index, name in enumerate(calls)}
    reach = {name: sum({bits[one] for one in call.depends_on if one in bits}) for name, call in calls.items()}
    for middle, bit in bits.items():
        beyond = reach[middle]
        for name, reached in reach.items():
            if reached & bit:
                reach[name] = reached | beyond
    return {name: frozenset(one for one, bit in bits.items() if reached & bit) for name, reached in reach.items()}


def _faults_of_cycles(plan: OrchestrationPlan, before: Mapping[str, frozenset[str]], path: str) -> Iterator[FieldFault]:
    """Yield one fault for every ring of calls that wait for each other."""
    told: set[str] = set()
    for name, call in plan.calls.items():
        if name not in told and name in before[name] and name not in call.depends_on:
            ring = _ring(plan.calls, name)
            told.update(ring)
            message = f"depend on each other in a cycle ({CYCLE_CODE}): {' -> '.join([*ring, ring[0]])}"
            yield FieldFault(f"{path}.calls", message)


def _ring(calls: Mapping[str, ServiceCall], start: str) -> list[str]:
    """Return a shortest way from a call over its dependencies back to itself."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for name in calls[way[-1]].depends_on:
            if name == start:
                return way
            if name in calls and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _is_deeper(value: Any, levels: int) -> bool:
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)
