"""The HTTP and WebSocket server of the service: Hypercorn's protocol classes under limits of our own.

    serve ─┬─ lifespan of the application
           ├─ accept loop      one a listening socket; pauses at the bound of connections
           └─ connection ─┬─ reader       parses, bounds, closes
                          └─ application  one task a request or a socket; writes with a deadline

Whatever goes wrong on a connection ends that connection alone, and is logged once. `docs/decisions/0011-own-server.md`
says why Hypercorn's own server does not do; `tests/frameworks/test_hypercorn.py` tells when its classes change.
"""

from orchestrator.server.internal import internal_config
from orchestrator.server.limits import Limits, ServerConfig
from orchestrator.server.serving import serve

__all__ = ["Limits", "ServerConfig", "internal_config", "serve"]
