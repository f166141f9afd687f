"""Routes of notifications."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.errors import IdempotencyKeyReused, NotFound
from orchestrator.models.common.limits import RateClass
from orchestrator.models.events.notification import Notification, NotificationSend, NotificationSent
from orchestrator.routes.http.paging import Cursor, Limit, PageQuery, page_answer
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

notification_routes = Routes()


@frozen
class NotificationQuery:
    """What `notification.list` takes."""

    unacknowledged: Annotated[bool, Meta(description="Only those that are not acknowledged.")] = False
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@notification_routes.add(
    "GET",
    "notification.list",
    permission="session:read",
    query=NotificationQuery,
    answers="notification.list",
    answer=Notification,
    paged=True,
    rate_class=RateClass.READ,
)
async def list_notifications(call: RouteCall) -> RouteAnswer:
    """List your notifications, the newest first."""
    query: NotificationQuery = call.query
    page = await call.services.notifications.list(
        call.ctx,
        call.ctx.principal.user_id,
        unacknowledged=query.unacknowledged,
        cursor=query.cursor,
        limit=query.limit,
    )
    return page_answer(page, query.limit)


@notification_routes.add(
    "PUT",
    "notification.acknowledge",
    permission="session:read",
    id_name="notification_id",
    answers="notification.acknowledged",
    answer=Notification,
    errors=(NotFound,),
    rate_class=RateClass.WRITE,
)
async def acknowledge(call: RouteCall) -> RouteAnswer:
    """Say that you have read a notification."""
    return RouteAnswer(await call.services.notifications.acknowledge(call.ctx, call.id))


@notification_routes.add(
    "POST",
    "notification.send",
    access=Access.INTERNAL,
    holder_permission="notification:send",
    body=NotificationSend,
    answers="notification.sent",
    answer=NotificationSent,
    status=201,
    idempotent=True,
    errors=(IdempotencyKeyReused,),
    rate_class=RateClass.WRITE,
)
async def send(call: RouteCall) -> RouteAnswer:
    """Notify users, or the whole tenant."""
    sent, replayed = await call.services.notifications.send(call.ctx, call.body)
    return RouteAnswer(sent, replayed=replayed)


@notification_routes.add(
    "GET",
    "notification.pending",
    access=Access.INTERNAL,
    id_name="user_id",
    query=PageQuery,
    answers="notification.pending",
    answer=Notification,
    paged=True,
    rate_class=RateClass.READ,
)
async def pending(call: RouteCall) -> RouteAnswer:
    """List what a user has not acknowledged, the newest first."""
    query: PageQuery = call.query
    page = await call.services.notifications.list(
        call.ctx, call.id, unacknowledged=True, cursor=query.cursor, limit=query.limit
    )
    return page_answer(page, query.limit)
