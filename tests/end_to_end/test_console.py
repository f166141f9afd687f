"""The console in a browser, before a real process: every page, on a wide screen and on a phone."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.models.common.principal import Role
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.end_to_end.stack import INTERNAL_KEY, Stack, open_stack
from tests.support.browser import DESKTOP, PHONE, Tab, in_browser

pytestmark = pytest.mark.browser

KEY = "operators-key"
QUESTION = "How do I drain a tenant?"


@asynccontextmanager
async def worked(folder: Path) -> AsyncIterator[tuple[Stack, str]]:
    """Give a stack that has done a turn and given up on another one, and the id of their session."""
    keys = ",".join(
        f"{name}:{name}:{sha256(key.encode()).hexdigest()}"
        for name, key in (("internal", INTERNAL_KEY), ("admin", KEY))
    )
    async with open_stack(folder) as stack:
        await stack.start(api_keys=keys)
        session_id = await stack.session("docs-guide")
        await stack.say(session_id, QUESTION, mode="wait", timeout_ms=20_000)
        stack.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", "execute", status=400))
        await stack.say(session_id, "This one fails.", mode="wait", timeout_ms=20_000)
        stack.sandbox.faults.clear()
        yield stack, session_id


def sign_in(tab: Tab, stack: Stack, *, token: bool = True, key: bool = True) -> None:
    tab.page.goto(f"{stack.node.url}/console")
    if token:
        tab.page.get_by_label("Token").fill(stack.token(role=Role.OPERATOR))
    if key:
        tab.page.get_by_label("API key").fill(KEY)
    tab.page.get_by_role("button", name="Sign in").click()
    tab.page.get_by_role("link", name="Tasks" if token else "Overview").wait_for()


def reachable(tab: Tab, part: str | None = None) -> None:
    """Look for what keeps people out: names that are missing, colours that cannot be read, keys that do not reach."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 # only where the browser's extra is installed

    found = Axe().run(tab.page, context=part)
    assert found.violations_count == 0, found.generate_report()


def open_page(tab: Tab, name: str) -> None:
    tab.page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
    tab.page.get_by_role("heading", level=1, name=name).wait_for()


async def test_every_page_shows_what_is_there_and_everyone_can_use_it(tmp_path: Path) -> None:
    async with worked(tmp_path) as (stack, session_id):

        def look(tab: Tab, scheme: str) -> None:
            page = tab.page
            page.goto(f"{stack.node.url}/console")
            page.get_by_role("heading", name="Sign in").wait_for()
            reachable(tab)
            sign_in(tab, stack)
            for name, text in [
                ("Overview", "All breakers are closed."),
                ("Tenants", "acme"),
                ("Dead letters", "ORCH_"),
                ("Tasks", "chat.message"),
                ("Sessions", session_id),
                ("Usage", "sandbox-extraction"),
                ("Chat", "connected"),
            ]:
                open_page(tab, name)
                page.get_by_text(text).first.wait_for()
                reachable(tab)
                tab.shot(f"console-{name.lower().replace(' ', '-')}-{scheme}")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                    f"{name} is wider than the screen"
                )
            for path, text in [("tenants/acme", "Quotas"), (f"sessions/{session_id}", QUESTION)]:
                page.goto(f"{stack.node.url}/console#/{path}")
                page.get_by_text(text).first.wait_for()
                reachable(tab)

        await in_browser(partial(look, scheme="light"), size=DESKTOP, scheme="light")
        await in_browser(partial(look, scheme="dark"), size=PHONE, scheme="dark")


async def test_an_operator_replays_tasks_and_dead_letters_stops_a_workflow_and_pauses_a_tenant(tmp_path: Path) -> None:
    async with worked(tmp_path) as (stack, _):

        def look(tab: Tab) -> None:
            page = tab.page
            sign_in(tab, stack)
            filter_tasks(tab, stack.node.url)
            replay_a_task(tab, stack.node.url)
            stop_a_workflow(tab, stack)
            open_page(tab, "Dead letters")
            page.get_by_role("button", name="Replay").first.click()
            page.get_by_role("dialog").get_by_text(re.compile("^1 of acme with the code ORCH_")).wait_for()
            page.get_by_role("dialog").get_by_role("button", name="Replay").click()
            page.get_by_text("1 dead letters of acme were replayed.").wait_for()
            open_page(tab, "Tenants")
            page.get_by_role("link", name="acme").click()
            page.get_by_role("button", name="Pause").click()
            page.get_by_role("dialog").get_by_role("button", name="Pause").click()
            page.get_by_role("button", name="Resume").click()
            page.get_by_text("acme is active.").wait_for()
            page.get_by_role("button", name="Sign out").click()
            sign_in(tab, stack, token=False)
            page.get_by_role("link", name="acme").click()
            page.get_by_role("button", name="Tasks of this tenant").click()
            replay_a_task(tab, stack.node.url)
            open_page(tab, "Sessions")
            page.get_by_role("cell").get_by_role("link").first.click()
            page.get_by_text("Sign in with a token of the tenant to follow the events.").wait_for()

        await in_browser(look)


def filter_tasks(tab: Tab, url: str) -> None:
    """Choose tasks with the keyboard alone; the choice stands in the address."""
    page = tab.page
    open_page(tab, "Tasks")
    count = page.get_by_role("main").get_by_role("status")
    tab.expect(count).to_have_text("2 tasks")
    code = page.get_by_role("cell").get_by_text(re.compile("^ORCH_")).text_content()
    page.get_by_label("Type").focus()
    for typed in ("chat.message", "docs-guide", "ann", code, "", "1h"):
        page.keyboard.type(typed or "")
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    tab.expect(count).to_have_text("1 task")
    reachable(tab)
    chosen = page.url
    page.get_by_label("Since").fill("soon")
    page.keyboard.press("Enter")
    assert "such as 15m" in page.get_by_label("Since").evaluate("field => field.validationMessage")
    page.get_by_role("button", name="Clear").click()
    tab.expect(count).to_have_text("2 tasks")
    page.get_by_label("Until").fill("1h")
    page.get_by_role("button", name="Show").click()
    tab.expect(count).to_have_text("0 tasks")
    page.goto(chosen)
    tab.expect(count).to_have_text("1 task")
    assert page.get_by_label("Error code").input_value() == code
    page.goto(f"{url}/console#/tasks?agent_id=echo")
    tab.expect(count).to_have_text("0 tasks")


def replay_a_task(tab: Tab, url: str) -> None:
    page = tab.page
    page.goto(f"{url}/console#/tasks?status=completed")
    page.get_by_role("cell").get_by_role("link").first.click()
    page.get_by_text("accepted").wait_for()
    page.get_by_text("processing_time_ms").first.wait_for()
    first = page.url
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    page.wait_for_url(lambda url: url != first)
    page.get_by_text("Replay of").wait_for()


def stop_a_workflow(tab: Tab, stack: Stack) -> None:
    """Stop the workflow of another user, which waits for input; its task says so, how far it is, and who stopped it."""
    page, url = tab.page, stack.node.url
    headers = {"Authorization": f"Bearer {stack.token(user='bob')}"}
    started = page.request.post(f"{url}/api/v1/workflow.execute", headers=headers, data={"workflow_id": "approval"})
    page.goto(f"{url}/console#/tasks/{started.json()['data']['task_id']}")
    page.get_by_text("It waits for a person's input").wait_for()
    facts = page.locator(".facts").first
    tab.expect(facts).to_contain_text("Steps0 of 3")
    tab.expect(facts).to_contain_text("Asks for inputShall we send it? (ask)")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the task").click()
    page.get_by_text("The task is cancelled.").wait_for()
    tab.expect(facts).to_contain_text("Cancelled byoperator")
    page.goto(f"{url}/console#/tasks?status=cancelled")
    page.get_by_role("cell").get_by_text("by operator").wait_for()


async def test_agents_are_tried_with_their_tools_and_sources(tmp_path: Path) -> None:
    async with worked(tmp_path) as (stack, _):

        def look(tab: Tab) -> None:
            page = tab.page
            sign_in(tab, stack)
            open_page(tab, "Chat")
            page.get_by_label("Message", exact=True).fill(QUESTION)
            page.keyboard.press("Enter")
            page.get_by_text(re.compile("nooble-orch tenants drain")).first.wait_for()
            page.get_by_text(re.compile(r"\d sources")).wait_for()
            page.get_by_label("Agent").select_option("confirm")
            page.get_by_text("connected").wait_for()
            page.get_by_label("Message", exact=True).fill("Delete everything")
            page.get_by_role("button", name="Send").click()
            page.get_by_role("button", name="Answer").click()
            page.get_by_text("completed").or_(page.get_by_text(re.compile("tokens"))).first.wait_for()
            reachable(tab)

        await in_browser(look)


async def test_a_tool_that_runs_is_shown_and_then_its_result(tmp_path: Path) -> None:
    async with worked(tmp_path) as (stack, _):

        def look(tab: Tab) -> None:
            page = tab.page
            sign_in(tab, stack)
            open_page(tab, "Chat")
            page.get_by_label("Agent").select_option("reporter")
            # What is asked before the new session is there goes to that one.
            said = page.get_by_role("log", name="Conversation")
            for question in ("tides in 1500 ms", "winds in 1500 ms"):
                page.get_by_label("Message", exact=True).fill(question)
                page.keyboard.press("Enter")
                running = said.get_by_text("is running")
                tab.expect(running).to_contain_text("slow_report")
                reachable(tab)
                tab.expect(running).to_have_count(0)
                tab.expect(said.get_by_text("slow_report: success").last).to_be_visible()
                tab.expect(said.get_by_text(re.compile(r"\d tokens")).last).to_be_visible()
            tab.expect(said.get_by_text("slow_report: success")).to_have_count(2)
            page.get_by_label("Message", exact=True).fill("rain in 60000 ms")
            page.keyboard.press("Enter")
            tab.expect(running).to_have_count(1)
            page.get_by_role("button", name="Cancel").click()
            tab.expect(running).to_have_count(0)
            tab.expect(said.get_by_text("cancelled by user")).to_be_visible()
            page.get_by_label("Message", exact=True).fill("winds in 1 ms")
            stack.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", "execute", status=400))
            page.keyboard.press("Enter")
            tab.expect(said.get_by_text(re.compile(r"^failed: .* \(ORCH_CONN_002\)$"))).to_be_visible()

        await in_browser(look)


def tell_the_age_of_what_is_shown(tab: Tab, stack: Stack) -> None:
    page = tab.page
    page.clock.install()
    sign_in(tab, stack)
    page.get_by_text("All breakers are closed.").wait_for()
    line = page.get_by_role("alert").get_by_text("What is shown is of")
    page.route("**/orchestrator.load*", lambda route: route.abort())
    page.clock.run_for(3000)
    line.get_by_text("Failed to fetch").wait_for()
    page.unroute_all(behavior="ignoreErrors")
    page.clock.run_for(3000)
    line.wait_for(state="hidden")
    page.route("**/orchestrator.load*", lambda _: None)
    page.clock.run_for(6000)
    line.get_by_text("The service has not answered since then.").wait_for()
    page.unroute_all(behavior="ignoreErrors")


async def test_a_wrong_token_is_told_and_routes_are_tried_from_the_documentation(tmp_path: Path) -> None:
    async with worked(tmp_path) as (stack, _):

        def look(tab: Tab) -> None:
            page = tab.page
            page.goto(f"{stack.node.url}/console")
            page.get_by_label("Token").fill("not-a-token")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("alert").get_by_text("ORCH_AUTH_001").wait_for()
            assert page.evaluate("sessionStorage.length") == 0
            tell_the_age_of_what_is_shown(tab, stack)
            page.goto(f"{stack.node.url}/")
            page.get_by_role("link", name="API Every route").click()
            page.get_by_text("Token and key").click()
            page.get_by_label("Token", exact=True).fill(stack.token())
            page.goto(f"{stack.node.url}/docs#agent.get")
            route = page.locator("[id='agent.get']")
            route.get_by_text("Try it").click()
            route.get_by_label("agent_id").fill("echo")
            route.get_by_role("button", name="Send").click()
            route.get_by_text("200 application/json").wait_for()
            route.get_by_text("word by word").wait_for()
            # The other two hundred routes take half a minute to be looked at.
            others = "o => o !== route && !o.contains(route) && !route.contains(o)"
            route.evaluate(
                f"route => [...document.querySelectorAll(route.tagName)].filter({others}).forEach(o => o.remove())"
            )
            reachable(tab, "[id='agent.get'] output")

        await in_browser(look, expects_console_errors=True)
