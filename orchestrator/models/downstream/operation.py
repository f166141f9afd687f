"""One operation of a downstream service: its request, its fallback, and what a user's plan needs to call it.

The parameters of a call are the operation's path parameters, the fields of its query and those of its payload together.
"""

from collections.abc import Mapping
from enum import StrEnum
from string import Formatter
from typing import Any, Final

from attrs import Attribute, field, frozen


class Owner(StrEnum):
    """Owner of what a parameter names; decides how a plan's call is checked."""

    USER = "user"
    """A user: the one whose plan it is."""
    SESSION = "session"
    """A session: known here as the user's."""
    CONVERSATION = "conversation"
    """A conversation: known here as the user's, by the session that it belongs to or by the plan that has begun it."""
    NEW_CONVERSATION = "new conversation"
    """A conversation that is known here as the user's, or that does not exist yet."""
    MESSAGE = "message"
    """A message: known here as one of a session of the user's."""
    TASK = "task"
    """A task, or an execution of a service: known here as the user's."""
    TENANT = "tenant"
    """Shared by the users of the tenant, such as an agent: an identifier, and no further check."""
    WITHIN = "within"
    """Within what another parameter names, which is checked: an identifier, and no further check."""


RESERVED: Final = frozenset({"tenant_id", "stream"})
"""Parameters that no plan chooses; of operations that may be delegated, `task_id` too."""


@frozen
class PlanAccess:
    """What a user's plan needs to call an operation, and what the plan may see of the result."""

    permission: str
    """Permission that the plan's user must have, `domain:action`: the one that the route for the same asks for."""
    owners: Mapping[str, Owner] = field(factory=dict)
    """By parameter: whose what it names must be. One record may serve several operations."""
    plain: tuple[str, ...] = ()
    """Parameters that name nothing which has an owner."""
    nested: tuple[str, ...] = ()
    """Those of the plain ones that the service takes as told by the platform: what they name within is checked too."""
    chosen: Mapping[str, str] = field(factory=dict)
    """Permissions that are needed beside where a parameter is given."""
    hidden: tuple[str, ...] = ()
    """Fields of the result that plans get as null, however deep."""
    begins: str = ""
    """Field of the result that names a conversation which is the user's from then on; empty: none."""


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
    plan: PlanAccess | None = field(kw_only=True)
    """What a user's plan needs to call it; None: plans can't. Every operation has to say."""
    fallback: Fallback | None = None
    """None: a call fails with its service."""
    path_parameters: tuple[str, ...] = field(init=False)

    @path_parameters.default
    def _path_parameters(self) -> tuple[str, ...]:
        names = [name for _, name, _, _ in Formatter().parse(self.path) if name is not None]
        return tuple(name for name in names if name != "tenant_id")

    @plan.validator
    def _check(self, _: "Attribute[PlanAccess | None]", plan: PlanAccess | None) -> None:
        """Refuse an operation of which it is not said what each of its parameters names."""
        if plan is None:
            return
        unknown = self._parameters - self.reserved - plan.owners.keys() - set(plan.plain)
        twice = plan.owners.keys() & set(plan.plain)
        misplaced = {*plan.nested, *plan.chosen} - self._parameters
        if unknown or twice or misplaced:
            names = ", ".join(sorted(unknown | twice | misplaced))
            raise ValueError(f"the record of {self.service}.{self.name} must say once what these name: {names}")

    @property
    def _parameters(self) -> set[str]:
        names = {name for _, name, _, _ in Formatter().parse(self.path) if name is not None}
        return {*names, *self.required, *self.optional}

    @property
    def reserved(self) -> frozenset[str]:
        """Parameters that no plan chooses."""
        return RESERVED | {"task_id"} if self.delegable else RESERVED

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
        return [
            *((name, "required field is missing") for name in sorted(needed - parameters.keys())),
            *((name, f"is no parameter of {self.service}.{self.name}") for name in sorted(parameters.keys() - known)),
        ]


Operations = Mapping[tuple[str, str], Operation]
"""Operations by service and name."""
