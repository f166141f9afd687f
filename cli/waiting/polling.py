"""Waiting for the end of work of the service, by asking for its state again and again."""

import time
from collections.abc import Callable
from math import inf
from typing import Any, Final

from cli.core.client import AWAY_SECONDS, Api
from cli.core.failures import CliFailure
from cli.core.output import note_if
from cli.http.connection import SLOW_SECONDS
from cli.waiting.notes import WaitNotes

_LOOK_EVERY: Final = 0.5


def poll(
    api: Api,
    route: str,
    ended: Callable[[Any], bool],
    *,
    timeout: float = inf,
    tell: Callable[[Any], None] = lambda _: None,
    what: str = "It",
    task_of: Callable[[Any], str | None] = lambda _: None,
) -> Any:
    """GET a route until its `data` is final or the timeout has passed; returns the last `data`.

    Notes on stderr tell what keeps the work where it does not move on. A service that is away for a while, as at its
    restart, is waited for.

    Args:
        api: the client.
        route: the route.
        ended: returns whether data is final.
        timeout: the timeout, in seconds.
        tell: called with the data of every answer.
        what: what is waited for, as the subject of a sentence.
        task_of: returns the task to ask for what keeps the work; None: there is none.

    Raises:
        CliFailure: the first request fails, or later ones fail for longer than `AWAY_SECONDS`.
    """
    began = answered = time.monotonic()
    deadline, notes = began + timeout, WaitNotes(what)
    data = api.get(route)
    tell(data)
    while not ended(data) and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(_LOOK_EVERY, left))
        patience = min(SLOW_SECONDS, max(_LOOK_EVERY, deadline - time.monotonic()))
        try:
            before, data = data, api.get_within(route, patience)
            answered = time.monotonic()
            tell(data)
            if data != before:
                notes.moved()
            elif not ended(data) and notes.left() == 0:
                notes.looked()
                note_if(_kept(api, notes, task_of(data)))
        except CliFailure as failure:
            if not failure.passes or time.monotonic() - answered > AWAY_SECONDS:
                raise
            note_if(notes.of_failure(failure))
    return data


def _kept(api: Api, notes: WaitNotes, task_id: str | None) -> str:
    if task_id is None:
        return ""
    try:
        return notes.of_wait(api.get_within(f"task.why/{task_id}", SLOW_SECONDS))
    except CliFailure as failure:
        if failure.passes:
            raise
        # What may not be read, or is gone, keeps no command from waiting for the end.
        return ""
