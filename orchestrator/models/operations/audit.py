"""The audit trail: which actions stand in it, for how long, and what an entry says."""

from enum import StrEnum
from typing import Annotated, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.models.common.timestamps import Timestamp

_DAY_MS: Final = 86_400_000


class AuditKind(StrEnum):
    """What an action is; each kind of each tenant has a stream of its own, so none pushes out another's entries."""

    ADMINISTRATION = "administration"
    ACTIVITY = "activity"
    REFUSALS = "refusals"
    KEYS = "keys"

    @property
    def retention_ms(self) -> int:
        """How long entries are kept."""
        return _DAY_MS * (365 if self is AuditKind.ADMINISTRATION else 90)

    @property
    def sampled(self) -> bool:
        """Whether repetitions are counted instead of written: what clients can cause without end."""
        return self in {AuditKind.REFUSALS, AuditKind.KEYS}


@frozen
class AuditAction:
    """What is audited: a row of the table."""

    kind: AuditKind
    says: str


_ADMIN, _ACTIVITY, _REFUSALS, _KEYS = AuditKind

ACTIONS: Final = {
    "agent.assign": AuditAction(_ACTIVITY, "A session got another agent."),
    "audit.cut": AuditAction(_ADMIN, "Entries were removed before their time, because a stream was at its bound."),
    "auth.failed": AuditAction(_REFUSALS, "Credentials were missing, wrong, expired or revoked."),
    "auth.refused": AuditAction(_REFUSALS, "Credentials were good, but not for this."),
    "debug.session": AuditAction(_ADMIN, "Everything known of a session was shown to an operator."),
    "dlq.purge": AuditAction(_ADMIN, "Dead letters were removed."),
    "frame.foreign": AuditAction(_REFUSALS, "A frame of a socket named another tenant, or another's session or work."),
    "key.create": AuditAction(_ADMIN, "An API key was created."),
    "key.revoke": AuditAction(_ADMIN, "An API key was revoked."),
    "key.rotate": AuditAction(_ADMIN, "An API key was replaced."),
    "key.use": AuditAction(_KEYS, "An API key was used: by which address, for which route."),
    "schedule.create": AuditAction(_ACTIVITY, "A schedule was created."),
    "schedule.delete": AuditAction(_ACTIVITY, "A schedule was deleted."),
    "schedule.trigger": AuditAction(_ACTIVITY, "A schedule was run at once."),
    "schedule.update": AuditAction(_ACTIVITY, "A schedule was changed."),
    "session.close": AuditAction(_ACTIVITY, "A session was closed."),
    "session.create": AuditAction(_ACTIVITY, "A session was created."),
    "session.ticket": AuditAction(_ADMIN, "An API key got a ticket: it follows a session, a workflow or a batch."),
    "task.replay": AuditAction(_ADMIN, "A task was done again, as a new one."),
    "tenant.active": AuditAction(_ADMIN, "A tenant was resumed."),
    "tenant.callback_secret": AuditAction(_ADMIN, "The secret of a tenant's callbacks was shown or replaced."),
    "tenant.configure": AuditAction(_ADMIN, "Limits, weight or tier of a tenant were changed."),
    "tenant.draining": AuditAction(_ADMIN, "A tenant began to be drained."),
    "tenant.export": AuditAction(_ADMIN, "Queued work of a tenant was exported."),
    "tenant.import": AuditAction(_ADMIN, "Queued work was imported for a tenant."),
    "tenant.paused": AuditAction(_ADMIN, "A tenant was paused."),
    "tenant.repair": AuditAction(_ADMIN, "Inconsistencies of a tenant were mended."),
    "token.revoke": AuditAction(_ADMIN, "Tokens were revoked."),
}
"""Every action, by name."""


def kind_of(action: str) -> AuditKind:
    """Return what an action is; one that is not in the table, as a later version may write it, is an activity."""
    row = ACTIONS.get(action)
    return AuditKind.ACTIVITY if row is None else row.kind


class AuditOrder(StrEnum):
    """Which entries come first."""

    NEWEST = "newest"
    OLDEST = "oldest"


@frozen
class AuditEntry:
    """Who did what, when, from where, and how it ended."""

    id: Annotated[str, Meta(description="Of the entry; unique together with `tenant_id` and `kind`.")]
    at: Annotated[Timestamp, Meta(description="When.")]
    kind: Annotated[str, Meta(description="`administration`, `activity`, `refusals` or `keys`.")]
    action: Annotated[str, Meta(description="What was done or tried, such as `session.close`.")]
    outcome: Annotated[str, Meta(description="`ok` or `refused`.")]
    tenant_id: Annotated[str, Meta(description="The tenant that it concerns; empty: none, or none that is proven.")]
    user_id: Annotated[str, Meta(description="Who: the user, or the name of the API key; empty: unknown.")]
    remote_address: Annotated[str, Meta(description="From where.")]
    correlation_id: Annotated[str, Meta(description="Of the request.")]
    detail: Annotated[str, Meta(description="One sentence, without content and without secrets.")]
    count: Annotated[int, Meta(ge=1, description="For how many it stands; more than 1 where repetitions were counted.")]
