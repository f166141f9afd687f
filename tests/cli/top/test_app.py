"""The application of `top`, used by keys at 80 by 24."""

from quart import Response

from cli.core.failures import CliFailure, Exit
from tests.cli.fake_service import envelope, refusal
from tests.cli.top.driven import TASK, Driver, drive, load, node, queue, service


def rows(lines: list[str], *names: str) -> list[str]:
    """Return which of some names the lines begin with, in the order of the screen."""
    return [name for line in lines for name in names if line.split()[:1] == [name]]


async def test_tenants_are_sorted_filtered_and_left_by_q() -> None:
    async def use(top: Driver) -> None:
        lines = await top.see("globex")
        assert rows(lines, "acme", "globex") == ["acme", "globex"]
        assert max(map(len, lines)) <= 80
        assert "BACKLOG" in "\n".join(lines)
        await top.press("s", "r")
        assert rows(await top.see("by TENANT ▼"), "acme", "globex") == ["globex", "acme"]
        await top.press("s", "s")
        assert rows(await top.see("by BACKLOG ▼"), "acme", "globex") == ["acme", "globex"]
        await top.press("slash", *"GLOB", "enter")
        assert rows(await top.see("1 of 2 tenants with “GLOB”"), "acme", "globex") == ["globex"]
        await top.press("escape")
        await top.see("2 of 2 tenants")
        await top.press("q")

    async with service(queue("acme", backlog=550), queue("globex")) as fake:
        assert await drive(fake, use) == Exit.DONE


async def test_a_click_on_a_heading_sorts_and_another_one_turns_the_order_round() -> None:
    async def use(top: Driver) -> None:
        await top.see("globex")
        heading = next(number for number, line in enumerate(top.lines()) if "BACKLOG" in line)
        at = (top.lines()[heading].index("BACKLOG"), heading)
        await top.pilot.click(offset=at)
        assert rows(await top.see("by BACKLOG ▼"), "acme", "globex") == ["globex", "acme"]
        await top.pilot.click(offset=at)
        assert rows(await top.see("by BACKLOG ▲"), "acme", "globex") == ["acme", "globex"]
        await top.press("ctrl+c")

    async with service(queue("acme", backlog=1), queue("globex", backlog=2)) as fake:
        assert await drive(fake, use) == Exit.INTERRUPTED


async def test_tabs_show_nodes_services_and_events() -> None:
    async def use(top: Driver) -> None:
        await top.press("2")
        lines = await top.see("VERSION")
        assert rows(lines, "node-1", "node-2") == ["node-1", "node-2"]
        slots = [line.split()[4] for line in lines if line.strip().startswith("node-")]
        assert slots == ["6/100", "100"], "the second one is too old to say how many it uses"
        await top.press("3")
        lines = await top.see("agent:slow")
        assert [line.split() for line in lines if line.strip().startswith(("query", "agent_exec"))] == [
            ["query", "open", "1", "0"],
            ["agent_execution", "closed", "1", *_age(lines), "agent:slow", "acme"],
        ]
        await top.press("tab")
        await top.see("node.joined")
        await top.press("q")

    call = {"tenant_id": "acme", "correlation_id": "c", "call": "agent_execution.execute", "callee": "agent:slow"}
    nodes = (
        node("node-1", breakers={"query": "open"}, limit=6),
        node("node-2", open_calls=[call | {"since": "2026-01-01T00:00:00.000Z"}]),
    )
    async with service(queue("acme"), nodes=nodes, breakers={"query": 1}) as fake:
        await drive(fake, use)


def _age(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split() if word.endswith("d") and word[:-1].isdigit()][:1]


async def test_enter_leads_to_a_tenant_its_tasks_and_the_timeline_of_one() -> None:
    async def use(top: Driver) -> None:
        await top.see("acme")
        await top.press("enter")
        lines = await top.see(TASK)
        assert any(line.split()[:2] == ["normal", "550"] and "█" in line for line in lines)
        assert any("ORCH_CONN_001" in line for line in lines)
        await top.press("enter")
        lines = await top.see("claimed on n1")
        assert any("2 tasks of the tenant come before it." in line for line in lines)
        await top.press("escape")
        await top.see("another-task")
        await top.see("2 of the 2 newest tasks")
        await top.press("f")
        await top.see("its tasks that are pending")
        pending = ("task.list", {"limit": "200", "status": "pending"})
        await top.until("the pending ones are asked for", lambda: pending in fake.asked)
        await top.press("escape")
        await top.see("Tenants")
        await top.press("q")

    async with service(queue("acme", backlog=550)) as fake:
        fake.answers["task.list"] = [envelope(fake.answers["task.list"][0], next_cursor="more")]
        await drive(fake, use)
    assert ("task.list", {"limit": "200"}) in fake.asked


async def test_a_tenant_is_paused_and_drained_only_after_a_question_with_counts() -> None:
    async def use(top: Driver) -> None:
        await top.see("acme")
        await top.press("p")
        await top.see("which is active and has 550 tasks")
        await top.press("n")
        await top.see("Pause tenant", gone=True)
        await top.press("d")
        await top.see("Drain tenant acme")
        await top.press("y")
        await top.see("acme is draining.")
        await top.press("enter")
        await top.see(TASK)
        await top.press("p")
        await top.see("Pause tenant acme")
        await top.press("y")
        await top.see("acme is paused.")
        await top.press("q")

    async with service(queue("acme", backlog=550)) as fake:
        await drive(fake, use)
    assert [(name, given) for name, given in fake.asked if name in {"tenant.pause", "tenant.drain"}] == [
        ("tenant.drain", {"mode": "work_off"}),
        ("tenant.pause", {}),
    ]


async def test_a_paused_tenant_is_resumed_by_the_same_key() -> None:
    async def use(top: Driver) -> None:
        await top.see("paused")
        await top.press("p")
        await top.see("Resume tenant acme")
        await top.press("y")
        await top.see("acme is active.")
        await top.press("q")

    async with service(queue("acme", state="paused")) as fake:
        await drive(fake, use)
    assert [name for name, _ in fake.asked if name.startswith("tenant.")] == ["tenant.get", "tenant.resume"]


async def test_a_service_that_is_away_is_told_and_asked_again() -> None:
    async def use(top: Driver) -> None:
        await top.see("acme")
        fake.answers["orchestrator.load"] = [Response("away", 503)]
        lines = await top.see("trying again")
        assert rows(lines, "acme") == ["acme"]
        fake.answers["orchestrator.load"] = [load(queue("globex"))]
        await top.see("globex")
        await top.see("trying again", gone=True)
        await top.press("q")

    async with service(queue("acme")) as fake:
        assert await drive(fake, use) == Exit.DONE


async def test_a_key_that_is_no_longer_good_ends_it_with_the_reason() -> None:
    async def use(top: Driver) -> None:
        await top.see("acme")
        fake.answers["orchestrator.load"] = [refusal(401, "The API key is not good.", code="ORCH_AUTH_001")]

    async with service(queue("acme")) as fake:
        failure = await drive(fake, use)
    assert isinstance(failure, CliFailure)
    assert failure.message == "The API key is not good."


async def test_a_tenant_that_is_gone_leads_back_to_the_overview() -> None:
    async def use(top: Driver) -> None:
        await top.see("acme")
        del fake.answers["queue.get"]
        await top.press("enter")
        await top.see("There is no queue.get.")
        await top.see("Tenants")
        await top.press("q")

    async with service(queue("acme")) as fake:
        await drive(fake, use)


async def test_the_cursor_stays_on_its_tenant_while_others_come_and_go() -> None:
    async def use(top: Driver) -> None:
        await top.see("globex")
        await top.press("down")
        fake.answers["orchestrator.load"] = [load(queue("new-1"), queue("acme"), queue("new-2"), queue("globex"))]
        await top.see("new-2")
        await top.press("enter")
        await top.see("tenant globex")
        await top.press("q")

    async with service(queue("acme"), queue("globex")) as fake:
        await drive(fake, use)


async def test_nothing_of_a_name_steers_the_terminal_or_is_markup() -> None:
    async def use(top: Driver) -> None:
        lines = await top.see("[bold]acme")
        assert any("[2J[bold]acme" in line for line in lines)
        await top.press("q")

    async with service(queue("\x1b[2J[bold]acme")) as fake:
        await drive(fake, use)
