"""What the screens ask of the service: each method is one look or one change, and runs in the fetcher's thread."""

from typing import Any, Final

from attrs import evolve, frozen

from cli.core.client import AdminApi, Api
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit

TIMEOUT: Final = 5.0
TASKS_SHOWN: Final = 200
_ENDED: Final = frozenset({"completed", "failed", "cancelled", "partial"})


@frozen
class Source:
    """The service, asked with an API key of an operator.

    Args:
        target: the stack, with an API key.
        tenants: how many tenants a load names at most.
        only: the tenant that is shown; None: all of them.
    """

    target: Target
    api: AdminApi
    tenants: int
    only: str | None = None

    def load(self) -> Any:
        """Return `orchestrator.load`."""
        load = self.api.get("orchestrator.load", top=self.tenants)
        if self.only is not None:
            load["tenants"] = [self.api.get(f"queue.get/{self.only}")]
        return load

    def tenant(self, tenant_id: str) -> Any:
        """Return the state of a tenant with its counts."""
        return self.api.get(f"tenant.get/{tenant_id}")

    def change(self, tenant_id: str, action: str) -> Any:
        """Pause, resume or drain a tenant; a drain works off what is queued."""
        body = {"mode": "work_off"} if action == "drain" else None
        return self.api.post(f"tenant.{action}/{tenant_id}", body)

    def of_tenant(self, tenant_id: str) -> "TenantSource":
        """Return the source of a tenant's work; to be closed. It is made in the thread of the command."""
        target = evolve(self.target, tenant=tenant_id, token="", operator_token="", prefers_key=True)
        api = Api(target, operator=True, timeout=TIMEOUT)
        # The screen shows that itself.
        api.tells_slow = False
        return TenantSource(tenant_id, self.api, api)


@frozen
class TenantSource:
    """The work of one tenant.

    Args:
        tenant_id: the tenant.
        admin: the client of the routes of operators.
        api: the client of the routes of the tenant, which uses the same API key.
    """

    tenant_id: str
    admin: AdminApi
    api: Api

    def work(self, status: str) -> dict[str, Any]:
        """Return the queue of the tenant, its newest tasks, and whether there are more of them.

        Args:
            status: of the tasks; empty: any.
        """
        found = self.api.get("task.list", limit=TASKS_SHOWN, status=status or None)
        queue = self.admin.get(f"queue.get/{self.tenant_id}")
        return {"queue": queue, "tasks": found["items"], "more": bool(found["next_cursor"])}

    def task(self, task_id: str) -> dict[str, Any]:
        """Return a task, what it waits for, and the timeline of its request; None for what is not there any more."""
        task = self.api.get(f"task.get/{task_id}")
        why = None if task["status"] in _ENDED else self._or_none(f"task.why/{task_id}")
        return {"task": task, "why": why, "trace": self._or_none(f"task.trace/{task['correlation_id']}")}

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def _or_none(self, route: str) -> Any:
        try:
            return self.api.get(route)
        except CliFailure as failure:
            if failure.code != Exit.NOT_FOUND:
                raise
            return None
