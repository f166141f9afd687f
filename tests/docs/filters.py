"""What lists of the command line can be narrowed by, as its commands have it."""

from collections.abc import Mapping
from typing import Final

import click

from cli.main import nooble_orch

FILTERS: Final = (
    "--since", "--until", "--error-code", "--agent", "--user", "--type", "--status", "--limit", "--all", "--watch",
)  # fmt: skip
"""What a list is narrowed by, and how it is shown; each command also has `-o`."""
LISTS: Final[Mapping[str, str | None]] = {
    "sessions list": "session.list",
    "tasks list": "task.list",
    "batches list": "batch.list",
    "batches results": "batch.results",
    "callbacks list": None,
    "schedules list": "schedule.list",
    "dlq list": "dlq.list",
    "queues": "queue.list",
    "tenants list": "tenant.list",
    "audit": "audit.list",
    "usage": None,
    "keys list": "key.list",
    "agents list": "agent.list",
    "tools list": "tool.list",
    "workflow list": "workflow.list",
    "nodes": None,
    "notices": None,
}
"""The lists, and the route whose parameters narrow each; None: it has no pages."""
BULK: Final = ("tasks cancel", "tasks replay", "dlq replay", "dlq purge")
"""What does something with many at once."""


def command_of(words: str) -> click.Command:
    """Return a command by its words."""
    found: click.Command = nooble_orch
    for word in words.split():
        assert isinstance(found, click.Group)
        command = found.get_command(click.Context(found), word)
        assert command is not None, words
        found = command
    return found


def options_of(words: str) -> set[str]:
    """Return the names of a command's options."""
    return {name for parameter in command_of(words).params for name in parameter.opts if name.startswith("--")}


def filters_table() -> str:
    """Every list, and what it can be narrowed by."""
    rows = [f"| list | {' | '.join(f'`{name}`' for name in FILTERS)} |", f"| --- |{' --- |' * len(FILTERS)}"]
    for words in (*LISTS, *BULK):
        has = options_of(words)
        rows.append(f"| `{words}` | {' | '.join('x' if name in has else '' for name in FILTERS)} |")
    return "\n".join(rows)
