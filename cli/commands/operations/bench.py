"""`bench`: a load of its own against a running stack."""

from typing import Any, Final

import click

from cli.core.completion import complete_agents
from cli.core.confirm import confirm
from cli.core.context import find_target, require_service
from cli.core.failures import CliFailure, Exit
from cli.core.options import Duration, listing_options, yes_option
from cli.core.output import Column, is_table, note, show_list, show_record

_CONNECTIONS: Final = 100
_LIMIT: Final = 600.0
"""Seconds that a load with a number of messages has, where no duration is named."""
_COLUMNS: Final = (
    Column("WHAT", "what", whole=True),
    Column("COUNT", "count", whole=True),
    Column("PER SECOND", "per_second", whole=True),
    Column("P50 MS", "p50_ms", whole=True),
    Column("P95 MS", "p95_ms", whole=True),
    Column("P99 MS", "p99_ms", whole=True),
)
_ROWS: Final = {"accepted": "accepted", "first_token": "first token", "turn": "turn"}


@click.command()
@click.option(
    "--callers", type=click.IntRange(1, _CONNECTIONS), default=8, show_default=True,
    help="Sessions that chat at the same time; each waits for an answer before its next message.",
)  # fmt: skip
@click.option(
    "--duration",
    type=Duration(),
    metavar="TIME",
    help="When it ends, such as 30s; default: 10s, or 10m with --messages.",
)
@click.option("--messages", type=click.IntRange(1), metavar="N", help="End after so many messages.")
@click.option(
    "--agent", metavar="AGENT", default="echo", show_default=True, help="Agent.", shell_complete=complete_agents
)
@click.option(
    "-m", "--message", metavar="TEXT", default="a message of ten words to measure how it is answered",
    show_default=True, help="What is sent.",
)  # fmt: skip
@yes_option
@listing_options
def bench(callers: int, duration: float | None, messages: int | None, agent: str, message: str, *, yes: bool) -> int:
    """Measure a running stack by a load of its own: accept rate, turn latency, first token, live answers.

    The turns are real: they count against the limits of the tenant and its agents cost what they cost. So it asks
    before, naming tenant and URL. At its end, and at Ctrl-C, it closes its sessions. Exit code 5: something failed.

    \b
    Example:
      nooble-orch bench --callers 32 --duration 30s --yes
      nooble-orch bench --messages 1000 -o json | jq .turn.p99_ms
    """
    from cli.bench.load import Load, LoadPlan, told  # noqa: PLC0415 - trio and sockets, which its help does without
    from cli.core.interrupts import run_trio  # noqa: PLC0415 - as its neighbour

    target = find_target()
    require_service(target)
    seconds = duration or (_LIMIT if messages else 10.0)
    plan = LoadPlan(callers, seconds, messages, agent, message)
    amount = f"{messages} messages" if messages else f"messages for {seconds:g} s"
    whose = f"tenant {target.tenant}" if target.tenant else "the token's tenant"
    confirm(f"Send {amount} to agent {agent} as {whose} at {target.api_url}, from {callers} sessions?", yes=yes)
    load = Load(target, plan)
    interrupted = run_trio(load.run)
    _show(told(load))
    if interrupted:
        note("Interrupted; the figures are of what was done until then.")
        return Exit.INTERRUPTED
    failed = load.figures.errors.total()
    if failed or not load.figures.turns:
        raise CliFailure(f"{failed} turns failed, {len(load.figures.turns)} were answered.", "", Exit.INCOMPLETE)
    return Exit.DONE


def _show(result: dict[str, Any]) -> None:
    if not is_table():
        show_record(result)
        return
    show_list([{"what": title, **result[name]} for name, title in _ROWS.items()], _COLUMNS)
    live = result["live_answers"]
    load = f"{result['callers']} callers for {result['seconds']} s"
    note(f"{load}; {live['mean']} answers live on average, {live['peak']} at most.")
    for code, count in result["errors"].items():
        note(f"{count} failed: {code}.")
    if result["unfinished"]:
        note(f"{result['unfinished']} turns were not finished at the end.")
    if result["sessions_left_open"]:
        note(f"{result['sessions_left_open']} sessions stay open until the service closes them as idle.")
