"""Options that choose tasks, for lists and for work on many of them."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Final, TypeVar

import click
from attrs import asdict, frozen

from cli.core.client import Api
from cli.core.completion import complete_agents, complete_sessions
from cli.core.confirm import choice_words
from cli.core.options import choice_option, period_options

F = TypeVar("F", bound=Callable[..., Any])
STATUSES: Final = (
    "pending", "processing", "retrying", "waiting", "completed", "failed", "cancelled", "partial",
)  # fmt: skip


@frozen
class TaskFilters:
    """What the options choose."""

    status: str | None = None
    type: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    user_id: str | None = None
    error_code: str | None = None
    since: str | None = None
    until: str | None = None

    def query(self) -> dict[str, str | None]:
        """Return the parameters of `task.list`."""
        return asdict(self)

    def words(self) -> str:
        """Return the choice in words; empty: all."""
        return choice_words(asdict(self))

    def must_be_empty(self) -> None:
        """Check that nothing is chosen.

        Raises:
            UsageError: something is.
        """
        if self.words():
            raise click.UsageError("Give either tasks, or options that choose them.")


def task_filters(command: F) -> F:
    """Add the options that choose tasks; they come as the argument `wanted`."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        chosen = {name: options.pop(name) for name in asdict(TaskFilters())}
        return command(*arguments, wanted=TaskFilters(**chosen), **options)

    agent = click.option(
        "--agent",
        "agent_id",
        metavar="AGENT",
        help="Only tasks that this agent answers.",
        shell_complete=complete_agents,
    )
    session = click.option(
        "--session",
        "session_id",
        metavar="SESSION",
        help="Only tasks of this session.",
        shell_complete=complete_sessions,
    )
    given = (
        choice_option("--status", STATUSES, "Only tasks with this status"),
        click.option("--type", "type", metavar="TYPE", help="Only tasks of this type, such as chat.message."),
        session,
        agent,
        click.option("--user", "user_id", metavar="USER", help="Only tasks of this user."),
        click.option("--error-code", metavar="CODE", help="Only tasks that failed with this error code."),
        period_options,
    )
    added: Any = run
    for option in reversed(given):
        added = option(added)
    return added  # type: ignore[no-any-return]  # the wrapper takes what the command takes


def scope_of(api: Api, wanted: TaskFilters) -> str:
    """Return what a choice concerns, for a question: the tenant, and the filters."""
    tenant = api.tenant
    words = f" ({wanted.words()})" if wanted.words() else ""
    return f"of tenant {tenant}{words}" if tenant else f"of the token's tenant{words}"


class Folded:
    """Tasks for a table: items of one batch that stand together and have one status are one row.

    Args:
        tasks: the tasks.
        limit: how many rows at most.
    """

    def __init__(self, tasks: Iterable[dict[str, Any]], limit: int) -> None:
        self._tasks, self._limit = tasks, limit
        self.more = False
        """After the iteration: whether there are more tasks."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rows = 0
        row: dict[str, Any] | None = None
        for task in self._tasks:
            batch_id = task["task_id"].partition(".")[0] if "." in task["task_id"] else ""
            if row is not None and batch_id and (row["task_id"], row["status"]) == (batch_id, task["status"]):
                row["items"] += 1
                continue
            if row is not None:
                yield row
                rows += 1
                row = None
                if rows == self._limit:
                    self.more = True
                    return
            row = {**task, "task_id": batch_id, "items": 1} if batch_id else task
        if row is not None:
            yield row
