"""The stream of all that happens to a tenant, followed across losses of the connection.

The server numbers its events, so a new connection asks for those behind the last one: none is lost, none comes twice.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from cli.core.client import Api
from cli.core.failures import CliFailure, refusal
from cli.core.output import note

_ROUTE: Final = "event.stream"
_WAITS: Final = (0.05, 0.2, 0.5, 1.0, 2.0)


def follow_tenant(api: Api, *, pieces: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the frames of a tenant's events as they happen, for ever.

    Args:
        api: the client.
        pieces: whether with the pieces of answers.

    Raises:
        CliFailure: the service refuses, or was never reached.
    """
    last, attempt, reached = "", 0, False
    while True:
        try:
            for event_id, name, frame in _events(api, last, pieces=pieces):
                last, attempt = event_id or last, 0
                if name == "system.error":
                    _fail(frame["data"])
                elif name == "tenant.followed":
                    if reached and not frame["data"]["recovered"]:
                        note("Some events were lost while the connection was away.")
                    reached = True
                else:
                    yield frame
        except CliFailure as failure:
            # The service may be restarting.
            if not reached or not failure.passes:
                raise
            if attempt == 1:
                note(f"{failure.message} Trying again.")
        time.sleep(_WAITS[min(attempt, len(_WAITS) - 1)])
        attempt += 1


def _events(api: Api, last: str, *, pieces: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the id, the name and the frame of each event of one connection."""
    parameters = {"pieces": "true"} if pieces else {}
    with api.lines(_ROUTE, {"Last-Event-ID": last} if last else {}, **parameters) as lines:
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif not line and "data" in fields:
                yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])
            if not line:
                fields = {}


def _fail(trouble: dict[str, Any]) -> None:
    """Raise what ends a stream for good; what passes by itself ends this connection alone."""
    if not trouble["is_recoverable"]:
        error = trouble["error"]
        raise refusal(401 if error["code"].startswith("ORCH_AUTH") else 409, error)
