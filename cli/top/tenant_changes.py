"""Pausing, resuming and draining a tenant from a screen: asked first, with what it concerns."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from cli.core.confirm import tenant_scope
from cli.display.glyphs import printable
from cli.top.live_screen import LiveScreen
from cli.top.question import Question
from cli.top.source import Source

_RESUMED: Final = frozenset({"paused", "draining", "drained"})
_WORDS: Final = {
    "pause": "Pause tenant {}{}? It accepts tasks, and starts none.",
    "resume": "Resume tenant {}{}?",
    "drain": "Drain tenant {}{}? It accepts no tasks, and works off those that it has.",
}


def ask_to_pause(screen: LiveScreen, source: Source, tenant_id: str) -> None:
    """Pause a tenant, or resume one that is paused, draining or drained, if the user confirms."""

    def look(state: Mapping[str, Any]) -> None:
        _ask(screen, source, state, "resume" if state["state"] in _RESUMED else "pause")

    screen.do("pause", partial(source.tenant, tenant_id), look)


def ask_to_drain(screen: LiveScreen, source: Source, tenant_id: str) -> None:
    """Drain a tenant, if the user confirms."""
    screen.do("drain", partial(source.tenant, tenant_id), lambda state: _ask(screen, source, state, "drain"))


def _ask(screen: LiveScreen, source: Source, state: Mapping[str, Any], action: str) -> None:
    tenant_id = state["tenant_id"]

    def changed(after: Mapping[str, Any]) -> None:
        screen.notify(printable(f"{tenant_id} is {after['state']}."), markup=False)
        screen.look_now()

    def answered(confirmed: bool | None) -> None:
        if confirmed:
            screen.do("change", partial(source.change, tenant_id, action), changed)

    screen.app.push_screen(Question(_WORDS[action].format(tenant_id, tenant_scope(state))), answered)
