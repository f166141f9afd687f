"""The interface of transports."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.responses import Pieces
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation


class Transport(Protocol):
    """Calls the operations of one service, over HTTP or through its queue."""

    @property
    def service(self) -> str:
        """Name of the service in the settings, such as `agent_execution`."""

    @property
    def configured(self) -> bool:
        """Whether the service has an address; without one each call raises ServiceUnreachable."""

    async def call(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> ServiceAnswer:
        """Call an operation, and return the JSON object in its answer.

        Args:
            call: tenant, correlation and deadline; the service's own timeout applies as well.
            operation: the operation.
            parameters: those of its path, its query and its payload together.
            metadata: `session_id`, `task_id`, `user_id`, `callback_token`; None is left out. Only operations of level 2
                carry it.

        Raises:
            ServiceUnreachable: the service has no address, or there is no connection to it.
            ConnectionBroken: the connection broke after the call was sent.
            CallTimeout: the answer was not complete in time.
            NotFound: the service answered 404.
            ServiceRefused: it refused the call; a retry would be refused too.
            BadGateway: it failed, or broke its answer off.
            InvalidAnswer: its answer is malformed.
        """

    def stream(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> AbstractAsyncContextManager[Pieces]:
        """Call an operation, and stream its answer.

        `call.heard` is called when the answer begins. Raises as `call` does, and so does `Pieces` while the answer is
        read.
        """

    async def probe(self, call: CallContext) -> None:
        """Check the health of the service; raises as `call` does. The body of a 2xx is ignored."""
