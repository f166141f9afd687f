"""Task updates for delegated work: `task.progress`, `task.complete`, `task.fail`."""

import sys
from typing import Any, Final

import trio
from attrs import frozen

from orchestrator.sandbox.serving.gateway import GatewayClient, GatewayRefused
from orchestrator.sandbox.serving.routing import SandboxCall

ATTEMPTS: Final = 5
"""Attempts at reporting progress."""
LAST_ATTEMPTS: Final = 12
"""Attempts at reporting the end, for half a minute: the orchestrator may be restarting."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 4.0


@frozen
class TaskCallback:
    """Reports the updates of one delegated call."""

    gateway: GatewayClient
    tenant_id: str
    task_id: str
    token: str | None
    correlation_id: str | None

    async def progress(self, **fields: Any) -> None:
        """Report progress."""
        await self._tell("progress", fields, ATTEMPTS)

    async def complete(self, result: Any) -> None:
        """Report the result."""
        await self._tell("complete", {"result": result}, LAST_ATTEMPTS)

    async def fail(self, code: str, message: str) -> None:
        """Report a failure."""
        error = {"code": code, "message": message, "retryable": False}
        await self._tell("fail", {"error": error}, LAST_ATTEMPTS)

    async def _tell(self, action: str, fields: dict[str, Any], attempts: int) -> None:
        """Retry unless the update is refused for good; a final failure is printed."""
        pause = FIRST_PAUSE
        for attempt in range(1, attempts + 1):
            try:
                await self.gateway.ask(
                    self.tenant_id,
                    f"task.{action}/{self.task_id}",
                    {"task_id": self.task_id, **fields},
                    correlation_id=self.correlation_id,
                    callback_token=self.token,
                )
            except GatewayRefused as error:
                if error.final or attempt == attempts:
                    print(f"task.{action} of {self.task_id} was not delivered: {error}", file=sys.stderr)  # noqa: T201  # a child process reports there
                    return
                await trio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                return


def callback_for(call: SandboxCall, gateway: GatewayClient) -> TaskCallback:
    """Make the callback that a request names by its metadata's `task_id` and `callback_token`.

    The payload's `task_id` may name the work itself, so it stands for the task only where the metadata say nothing.
    """
    metadata = call.message.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    task_id = metadata.get("task_id") or call.payload.get("task_id") or call.message.get("task_id") or ""
    return TaskCallback(
        gateway=gateway,
        tenant_id=call.tenant_id,
        task_id=str(task_id),
        token=metadata.get("callback_token"),
        correlation_id=call.message.get("correlation_id"),
    )
