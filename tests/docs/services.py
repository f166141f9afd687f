"""The tables of the page of services, as the code has them. `python -m tests.docs.services` prints them."""

from orchestrator.config.settings import ServiceSettings, ServicesSettings
from orchestrator.domain.downstream.breaker import POLICIES
from orchestrator.models.operations.breakers import Criticality
from orchestrator.models.plans.service_operations import OPERATIONS, Operation
from orchestrator.services.downstream.fallbacks import FALLBACKS

SERVICES = tuple(dict.fromkeys(service for service, _ in OPERATIONS))


def services_table() -> str:
    """How each service is treated, as long as nobody sets it otherwise."""
    rows = [
        "| service | criticality | left alone | for | timeout | calls at once |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in SERVICES:
        settings: ServiceSettings = getattr(ServicesSettings(), name)
        policy = POLICIES[Criticality(settings.criticality)]
        rows.append(
            f"| `{name}` | {settings.criticality} | {policy.share:.0%} of the last {policy.window} calls failed "
            f"| {policy.open_seconds:g} s | {settings.timeout:g} s | {settings.max_concurrency} |"
        )
    return "\n".join(rows)


def operations_table(service: str) -> str:
    """The operations of a service."""
    rows = ["| operation | request | parameters | notes |", "| --- | --- | --- | --- |"]
    for (owner, name), operation in OPERATIONS.items():
        if owner == service:
            request = f"{operation.method} `{operation.path}`"
            rows.append(f"| `{name}` | {request} | {_parameters(operation)} | {_notes(operation)} |")
    return "\n".join(rows)


def _parameters(operation: Operation) -> str:
    needed = [*operation.path_parameters, *operation.required]
    told = [*(f"**`{name}`**" for name in needed), *(f"`{name}`" for name in operation.optional)]
    return ", ".join(told) or "none"


def _notes(operation: Operation) -> str:
    notes = [
        "safe to repeat" if operation.idempotent else "repeated with its key",
        "may stream" if operation.streams else "",
        "may answer 202" if operation.delegable else "",
    ]
    fallback = FALLBACKS.get(operation.key)
    if fallback is not None:
        age = f" ({fallback.last_known_seconds / 60:g} min at most)" if fallback.last_known_seconds else ""
        notes.append(f"instead: {fallback.says}{age}")
    return "; ".join(note for note in notes if note)


if __name__ == "__main__":
    print(services_table())  # noqa: T201 - printing the tables is what this script is for
    for name in SERVICES:
        print(f"\n## {name}\n\n{operations_table(name)}")  # noqa: T201 - printing the tables is what this script is for
