"""News that services tell without a callback token: their credential says who they are, and names say of which work."""

from typing import Final

import trio
from attrs import frozen

from orchestrator.errors import NotFound
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.task_updates import ServiceNews, TaskUpdated
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.store.plans.delegations import DelegationStore, OpenCall

_PATIENCE_SECONDS: Final = 1.0
"""A service may be quicker with its news than the process that has asked it is with noting so."""
_NAMELESS_SECONDS: Final = 0.25
"""The same where the news name no task, but only what the service itself calls the work: it may be of none, too."""
_LOOK_SECONDS: Final = 0.02
"""Pause before the second look; each further one is twice as long, for a look may read the tasks of a whole batch."""


@frozen
class ServiceNewsService:
    """Finds the call that news are about.

    Args:
        store: where the calls are.
        updates: takes the news.
    """

    store: DelegationStore
    updates: TaskUpdateService

    async def take(self, ctx: RequestContext, news: ServiceNews) -> TaskUpdated:
        """Take news.

        Args:
            ctx: who tells them; the task must be of the same tenant.
            news: what is told, and of which work.

        Raises:
            NotFound: the tenant has no such work, or none that this service works on.
        """
        patience = _PATIENCE_SECONDS if news.task_ids else _NAMELESS_SECONDS
        deadline, pause = trio.current_time() + patience, _LOOK_SECONDS
        while True:
            found = await self._find(ctx.tenant_id, news)
            if found is not None and found[1] is not None:
                return await self.updates.take(ctx, found[0], found[1].digest, news.update)
            if found is None or trio.current_time() >= deadline:
                raise NotFound("There is no work of this name that the service has taken on.")
            await trio.sleep(pause)
            pause *= 2

    async def task_of(self, ctx: RequestContext, execution_id: str) -> str:
        """Return the task whose work a service calls so: by default the task itself."""
        return await self.store.task_of_execution(ctx.tenant_id, execution_id) or execution_id

    async def _find(self, tenant_id: str, news: ServiceNews) -> tuple[str, OpenCall | None] | None:
        """Return the call that is meant: the one with the service's own name of the work, else the one that is open.

        No call: the task is there, and has not handed it on yet; or all that is told is the service's own name of the
        work, and it is not known, or not yet. None: there is no such task, or it has ended.
        """
        candidates = list(news.task_ids)
        waits: tuple[str, OpenCall | None] | None = None
        if news.execution_id:
            candidates.insert(0, news.execution_id)
            known = await self.store.task_of_execution(tenant_id, news.execution_id)
            candidates[:0] = [known] if known else []
            if known is None and not news.task_ids:
                waits = (news.execution_id, None)
        for task_id in dict.fromkeys(candidates):
            calls = await self.store.calls_of(tenant_id, task_id, news.service)
            found = _choose(calls, news.execution_id) if calls is not None else None
            if found is not None:
                return task_id, found
            if calls is not None:
                waits = (task_id, None)
        if news.correlation_id:
            return await self._by_correlation(tenant_id, news) or waits
        return waits

    async def _by_correlation(self, tenant_id: str, news: ServiceNews) -> tuple[str, OpenCall | None] | None:
        open_calls = [
            (task_id, call)
            for task_id in await self.store.tasks_of_correlation(tenant_id, news.correlation_id)
            for call in await self.store.calls_of(tenant_id, task_id, news.service) or ()
            if not call.ended
        ]
        return open_calls[0] if len(open_calls) == 1 else None


def _choose(calls: list[OpenCall], execution_id: str) -> OpenCall | None:
    named = [call for call in calls if execution_id and call.execution_id == execution_id]
    open_calls = [call for call in calls if not call.ended]
    # Of calls that have ended, the last one is told that the news came too late.
    return next(iter(named or open_calls or calls[-1:]), None)
