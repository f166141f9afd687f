"""How a service is asked: what clients and services need to know of a transport, whichever it is."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.responses import Pieces
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation


class Transport(Protocol):
    """Asks one service for its operations, over HTTP or through its queue."""

    @property
    def service(self) -> str:
        """Its name in the settings, such as `agent_execution`."""

    @property
    def configured(self) -> bool:
        """Whether there is a way to the service; without one each call raises ServiceUnreachable."""

    async def call(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> ServiceAnswer:
        """Ask for an operation, and return the JSON object that the service answers.

        Args:
            call: on whose behalf, and until when; the service's own timeout holds as well.
            operation: what is asked for.
            parameters: those of its path, its query and its payload together.
            metadata: what the call belongs to: `session_id`, `task_id`, `user_id`, `callback_token`; None is left out.
                Only operations with a message carry it.

        Raises:
            ServiceUnreachable: there is no way to the service, or it broke.
            CallTimeout: no whole answer came in time.
            NotFound: the service knows no such thing (404).
            ServiceRefused: it refused for good.
            BadGateway: it failed, or answered nonsense.
        """

    def stream(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> AbstractAsyncContextManager[Pieces]:
        """Ask for an operation, and hand out the pieces of its answer as they come.

        As soon as the answer begins, `call.heard` is called. Raises what `call` raises, and `Pieces` raises the same
        while the answer is read.
        """

    async def probe(self, call: CallContext) -> None:
        """Ask the service for its health; raises as `call` does, but takes whatever a good answer says."""
