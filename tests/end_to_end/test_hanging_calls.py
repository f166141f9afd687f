"""A call that hangs, as operators see it while it hangs: which one it is, and for how long."""

import json
import re
from pathlib import Path
from typing import Any, Final

from orchestrator.models.common.principal import Role
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.cli.runs import run_cli
from tests.end_to_end.stack import Stack, open_stack
from tests.support.eventually import eventually

HANG: Final = InjectedFault(InjectedFaultKind.LATENCY, "agent_execution", "execute", latency_ms=120_000)
OPEN: Final = re.compile(r"agent_execution\.execute agent:echo for (\d+\.\d) s")


async def trace(stack: Stack, correlation_id: str) -> Any:
    async with stack.client() as client:
        return (await client.get(f"/api/v1/task.trace/{correlation_id}")).json()["data"]


def seconds_open(timeline: Any) -> float:
    """Return for how long the one open call of a timeline has been open; 0: none is told."""
    found = [OPEN.search(task["detail"]) for task in timeline["open"]]
    return float(found[0][1]) if len(found) == 1 and found[0] is not None else 0.0


async def test_a_trace_names_the_call_that_hangs_and_goes_on_to_this_moment(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        stack.sandbox.faults.add(HANG)
        accepted = await stack.say(await stack.session(), "hello")
        task_id, correlation_id = accepted["data"]["task_id"], accepted["correlation_id"]
        first = await eventually("the call is named", lambda: trace(stack, correlation_id), seconds_open)
        steps = first["steps"]
        assert [step["step"] for step in steps][:2] == ["accepted", "claimed"]
        # Nothing happens meanwhile, and time passes all the same; another process sees it, too.
        await stack.start()
        later = await eventually(
            "the call has been open for longer",
            lambda: trace(stack, correlation_id),
            lambda timeline: seconds_open(timeline) >= seconds_open(first) + 1,
        )
        assert later["steps"] == steps
        assert later["duration_ms"] >= first["duration_ms"] + 900
        # The step says it to a tenth of a second.
        assert later["duration_ms"] / 1000 >= seconds_open(later) - 0.05
        assert [(task["task_id"], task["status"]) for task in later["open"]] == [(task_id, "processing")]
        environ = {"ORCH_API_URL": stack.node.url, "ORCH_TOKEN": stack.token(role=Role.OPERATOR), "COLUMNS": "120"}
        shown = await run_cli(tmp_path, "trace", task_id, "-o", "table", **environ)
        assert OPEN.search(shown.out.splitlines()[-1]), shown.out
        piped = json.loads((await run_cli(tmp_path, "trace", task_id, **environ)).out)
        assert piped["duration_ms"] >= later["duration_ms"]
        assert seconds_open(piped) >= seconds_open(later)
