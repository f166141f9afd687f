"""One operation of a downstream service: its request, its fallback, and what a user's plan needs to call it.

The parameters of a call are the operation's path parameters, the fields of its query and those of its payload together.
"""

from collections.abc import Mapping
from enum import StrEnum
from string import Formatter
from typing import Any

from attrs import field, frozen


class Owner(StrEnum):
    """Owner of what a parameter names; decides how a plan's call is checked."""

    USER = "user"
    """A user: must be the one whose plan it is."""
    SESSION = "session"
    """A session, or its conversation, which has the same id: must not be another user's."""
    TENANT = "tenant"
    """Shared by the users of the tenant, such as an agent: no check."""
    SERVICE = "service"
    """Named by the service within something that is checked, or by an id that can't be guessed: no check."""


@frozen
class PlanAccess:
    """What a user's plan needs to call an operation, and what the plan may see of the result."""

    permission: str
    """Permission that the plan's user must have, `domain:action`: the one that the route for the same asks for."""
    owners: Mapping[str, Owner] = field(factory=dict)
    """By parameter. A parameter `…_id` that is not listed can't be given by a plan."""
    hidden: tuple[str, ...] = ()
    """Fields of the result that plans get as null."""


@frozen
class Fallback:
    """What happens instead of a call whose service is away."""

    says: str
    """For the reference."""
    last_known_seconds: float = 0.0
    """Age up to which the last answer is used once more; 0: it is not."""


@frozen(eq=False)
class Operation:
    """One operation of a downstream service."""

    service: str
    """As in the settings: `conversation`, `agent_execution`."""
    name: str
    method: str
    path: str
    """Below the service's base URL, with `{parameters}`; `{tenant_id}` is filled in from the call's context."""
    required: tuple[str, ...] = ()
    """Parameters beside those of the path that a call must have."""
    optional: tuple[str, ...] = ()
    domain: str = ""
    """Of the message's type, at level 2; empty at level 3, whose bodies are plain fields."""
    idempotent: bool = False
    """Whether doing it twice is doing it once: because it only reads, or because its effect is named by a key."""
    streams: bool = False
    """Whether its answer may come as newline-delimited messages."""
    delegable: bool = False
    """Whether the service may answer 202 and send the result later, as `task.*`."""
    callee: str = ""
    """Parameter that names the agent, tool or workflow whose code it runs, such as `agent_id`; empty: it runs none."""
    plan: PlanAccess | None = None
    """What a user's plan needs to call it; None: plans can't."""
    fallback: Fallback | None = None
    """None: a call fails with its service."""
    path_parameters: tuple[str, ...] = field(init=False)

    @path_parameters.default
    def _path_parameters(self) -> tuple[str, ...]:
        names = [name for _, name, _, _ in Formatter().parse(self.path) if name is not None]
        return tuple(name for name in names if name != "tenant_id")

    @property
    def key(self) -> tuple[str, str]:
        """The service and the name."""
        return self.service, self.name

    @property
    def reads(self) -> bool:
        """Whether its parameters stand in the query: it has no body."""
        return self.method in {"GET", "DELETE"}

    @property
    def last_known_seconds(self) -> float:
        """Age up to which the last answer may be used while the service is away."""
        return self.fallback.last_known_seconds if self.fallback else 0.0

    def faults(self, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return what is wrong with the names of a plan's parameters: (name, fault)."""
        needed = {*self.path_parameters, *self.required}
        known = needed | set(self.optional)
        unowned = {name for name in known & parameters.keys() if not self._is_owned(name)}
        return [
            *((name, "required field is missing") for name in sorted(needed - parameters.keys())),
            *((name, f"is no parameter of {self.service}.{self.name}") for name in sorted(parameters.keys() - known)),
            *((name, "can't be given: its owner is unknown") for name in sorted(unowned)),
        ]

    def _is_owned(self, name: str) -> bool:
        """Tell whether a plan may give a parameter: one that names something needs a known owner."""
        return self.plan is not None and (name in self.plan.owners or not name.endswith("_id"))


Operations = Mapping[tuple[str, str], Operation]
"""Operations by service and name."""
