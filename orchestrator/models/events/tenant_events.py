"""Events of a whole tenant, as its operators follow them."""

from typing import Annotated, Any

from attrs import frozen
from msgspec import Meta


@frozen
class TenantFollowed:
    """The first event of a stream of a tenant: where the client stands."""

    recovered: Annotated[bool, Meta(description="False where events since the one that was named are lost.")] = True


@frozen
class TenantEvent:
    """Something that has happened in a tenant."""

    kind: Annotated[
        str, Meta(description="What it happened to: `session`, `task`, `batch`, `notification` or `notice`.")
    ]
    id: Annotated[str, Meta(description="Its id; of a notice, the tenant's.")]
    event: Annotated[str, Meta(description="What has happened, such as `chat.status_update` or `tenant.paused`.")]
    user_id: Annotated[str | None, Meta(description="Whose it is; null: the tenant's.")] = None
    data: Annotated[Any, Meta(description="What the event says; null where it has left its own log.")] = None
    offset: Annotated[int | None, Meta(description="In the log of what it happened to; null: in none.")] = None
    epoch: Annotated[str | None, Meta(description="Of that log.")] = None
