"""Control routes: faults, counters of calls and usage, and the address of the orchestrator."""

from collections import Counter

from orchestrator.sandbox.serving.faults import Faults, InjectedFault, InjectedFaultKind
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.http_server import Request, SandboxReply, json_reply
from orchestrator.sandbox.serving.routing import SandboxRefusal, json_object
from orchestrator.sandbox.serving.usage import Spent

Calls = Counter[tuple[str, str]]
_TYPES: dict[str, type] = {
    "service": str,
    "operation": str,
    "latency_ms": int,
    "status": int,
    "retry_after": int,
    "count": int,
}


class Control:
    """Answers under `/control`."""

    def __init__(
        self, faults: Faults, calls: Calls, gateway: GatewayClient, services: frozenset[str], spent: Spent
    ) -> None:
        self._faults = faults
        self._calls = calls
        self._gateway = gateway
        self._services = services
        self._spent = spent

    def answer(self, request: Request) -> SandboxReply:
        """Handle a control request."""
        match request.method, "/".join(request.segments[1:]):
            case "GET", "health":
                return json_reply({"status": "healthy", "services": sorted(self._services)})
            case "GET", "calls":
                return json_reply(self._counted())
            case "DELETE", "calls":
                self._calls.clear()
                return json_reply({"cleared": True})
            case "GET", "usage":
                return json_reply(self._spent.all())
            case "DELETE", "usage":
                self._spent.clear()
                return json_reply({"cleared": True})
            case "POST", "faults":
                return self._add(request)
            case "DELETE", "faults":
                self._faults.clear()
                return json_reply({"cleared": True})
            case "PUT", "orchestrator":
                return self._connect(request)
        raise SandboxRefusal(404, "SANDBOX_NOTF_001", "There is no such control route.")

    def _counted(self) -> dict[str, dict[str, int]]:
        counted: dict[str, dict[str, int]] = {service: {} for service in sorted(self._services)}
        for (service, operation), count in self._calls.items():
            counted[service][operation] = count
        return counted

    def _add(self, request: Request) -> SandboxReply:
        fields = json_object(request.body, "SANDBOX")
        if fields.get("kind") not in list(InjectedFaultKind):
            raise _malformed(f"kind must be one of {', '.join(InjectedFaultKind)}.")
        kind = InjectedFaultKind(fields.pop("kind"))
        for name, value in fields.items():
            if name not in _TYPES or type(value) is not _TYPES[name]:
                raise _malformed(f"{name} is no field of a fault, or of another type.")
        if fields.get("service") not in {None, *self._services}:
            raise _malformed(f"service must be one of {', '.join(sorted(self._services))}.")
        self._faults.add(InjectedFault(kind, **fields))
        return json_reply({"kind": kind, **fields}, 201)

    def _connect(self, request: Request) -> SandboxReply:
        fields = json_object(request.body, "SANDBOX")
        if not isinstance(fields.get("url"), str):
            raise _malformed("url is missing.")
        self._gateway.url = fields["url"]
        self._gateway.api_key = fields.get("api_key", self._gateway.api_key)
        return json_reply({"url": self._gateway.url})


def _malformed(message: str) -> SandboxRefusal:
    return SandboxRefusal(400, "SANDBOX_VAL_001", message)
