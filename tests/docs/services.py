"""The tables of the page of services, as the code has them. `python -m tests.docs.services` prints them."""

from orchestrator.clients.registry import SERVICES
from orchestrator.config.defaults import DEFAULTS
from orchestrator.domain.downstream.breaker import POLICIES
from orchestrator.models.downstream.operation import Operation, Owner
from orchestrator.models.operations.breakers import Criticality

UNCHECKED = {Owner.TENANT, Owner.WITHIN}


def services_table() -> str:
    """How each service is treated, unless it is set otherwise."""
    rows = [
        "| service | criticality | left alone | for | timeout | calls at once |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in SERVICES:
        settings = DEFAULTS.services[name]
        policy = POLICIES[Criticality(settings.criticality)]
        rows.append(
            f"| `{name}` | {settings.criticality} | {policy.share:.0%} of the last {policy.window} calls failed "
            f"| {policy.open_seconds:g} s | {settings.timeout:g} s | {settings.max_concurrency} |"
        )
    return "\n".join(rows)


def operations_table(service: str) -> str:
    """The operations of a service."""
    rows = ["| operation | request | parameters | plans need | notes |", "| --- | --- | --- | --- | --- |"]
    for operation in SERVICES[service].operations:
        request = f"{operation.method} `{operation.path}`"
        told = [_parameters(operation), _access(operation), _notes(operation)]
        rows.append(f"| `{operation.name}` | {request} | {' | '.join(told)} |")
    return "\n".join(rows)


def _parameters(operation: Operation) -> str:
    needed = [*operation.path_parameters, *operation.required]
    told = [*(f"**`{name}`**" for name in needed), *(f"`{name}`" for name in operation.optional)]
    return ", ".join(told) or "none"


def _access(operation: Operation) -> str:
    if operation.plan is None:
        return "never called"
    taken = {*operation.path_parameters, *operation.required, *operation.optional} - operation.reserved
    owners = {name: owner for name, owner in operation.plan.owners.items() if name in taken}
    told = [f"`{operation.plan.permission}`"]
    told += [f"`{permission}` with `{name}`" for name, permission in operation.plan.chosen.items()]
    told += [f"own `{name}`" for name, owner in owners.items() if owner not in UNCHECKED | {Owner.NEW_CONVERSATION}]
    told += [f"own or new `{name}`" for name, owner in owners.items() if owner is Owner.NEW_CONVERSATION]
    told += [f"nothing of others within `{name}`" for name in operation.plan.nested]
    return ", ".join(told)


def _notes(operation: Operation) -> str:
    notes = [
        "safe to repeat" if operation.idempotent else "repeated with its key",
        "may stream" if operation.streams else "",
        "may answer 202" if operation.delegable else "",
    ]
    fallback = operation.fallback
    if fallback is not None:
        age = f" ({fallback.last_known_seconds / 60:g} min at most)" if fallback.last_known_seconds else ""
        notes.append(f"instead: {fallback.says}{age}")
    if operation.plan is not None:
        notes += [f"plans get `{name}` as null" for name in operation.plan.hidden]
    return "; ".join(note for note in notes if note)


if __name__ == "__main__":
    print(services_table())  # noqa: T201 - printing the tables is what this script is for
    for name in SERVICES:
        print(f"\n## {name}\n\n{operations_table(name)}")  # noqa: T201 - printing the tables is what this script is for
