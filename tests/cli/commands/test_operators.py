"""`queues`, `tenants`, `dlq` and `tasks replay`: what they ask for, and what they say."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, request
from quart_trio import QuartTrio

from cli.commands.tenancy.transfer_file import header_of
from cli.core import failures
from tests.cli.fake_service import LONG_TASK, envelope, refusal
from tests.cli.runs import run_cli
from tests.cli.terminal import open_terminal
from tests.support.forked import Ended

TENANT = {
    "tenant_id": "acme", "state": "active", "queued": 3, "in_hand": 1, "delayed": 0, "parked": 0, "dead_letters": 2,
    "depth": {"high": 3, "normal": 0, "low": 0}, "oldest_waiting": "2026-01-01T00:00:00.000Z", "weight": 1.0,
    "accepted_per_minute": 4, "virtual_time": 12.5,
}  # fmt: skip
LETTER = {
    "id": "1767225600000-0", "task_id": LONG_TASK, "attempts": 5, "at": "2026-01-01T00:00:00.000Z",
    "error": {"code": "ORCH_CONN_001", "message": "away"}, "replayed_as": None,
}  # fmt: skip


@define
class Operators:
    """A service that answers from a table, and notes what it was asked."""

    answers: dict[str, list[Any]] = field(factory=dict)
    """What each route answers: one after the other, the last for good; a response, or the data of one."""
    asked: list[tuple[str, Any]] = field(factory=list)
    hangs: bool = False
    """Whether it answers no more."""
    url: str = ""

    async def run(self, home: Path, *arguments: str) -> Ended:
        """Run a command against it."""
        return await run_cli(home, *arguments, **self.target())

    def target(self) -> dict[str, str]:
        return {"ORCH_API_URL": self.url, "ORCH_API_KEY": "key", "ORCH_TOKEN": "token", "COLUMNS": "80"}

    def bodies(self, route: str) -> list[Any]:
        """What was sent to a route."""
        return [body for name, body in self.asked if name == route]


@asynccontextmanager
async def open_operators() -> AsyncIterator[Operators]:
    fake, app = Operators(), QuartTrio("operators", static_folder=None)

    @app.route("/<path:path>", methods=["GET", "POST", "PUT"])
    async def answer(path: str) -> Response:
        route = path.rsplit("/", maxsplit=1)[-1] if path.startswith("health") else path.split("/")[2]
        fake.asked.append((route, await request.get_json() if request.method != "GET" else dict(request.args)))
        if fake.hangs:
            await trio.sleep_forever()
        left = fake.answers.get(route)
        if not left:
            return refusal(404, f"There is no {route}.")
        given = left.pop(0) if len(left) > 1 else left[0]
        return given if isinstance(given, Response) else envelope(given)

    config, over = Config(), trio.Event()
    config.bind, config.loglevel, config.graceful_timeout = ["127.0.0.1:0"], "CRITICAL", 0.1
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(
            lambda task_status: serve(app, config, shutdown_trigger=over.wait, task_status=task_status)
        )
        fake.url = urls[0]
        yield fake
        over.set()


@pytest.fixture
async def fake() -> AsyncIterator[Operators]:
    async with open_operators() as running:
        yield running


@pytest.mark.parametrize(("command", "route"), [("queues", "queue.list"), ("tenants list", "tenant.list")])
async def test_tables_fit_80_columns(fake: Operators, tmp_path: Path, command: str, route: str) -> None:
    fake.answers[route] = [{"items": [TENANT, TENANT | {"tenant_id": "a-tenant-with-a-name", "state": "draining"}]}]
    ended = await fake.run(tmp_path, *command.split(), "-o", "table")
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "acme" in ended.out
    piped = await fake.run(tmp_path, *command.split())
    assert [json.loads(line)["tenant_id"] for line in piped.out.splitlines()] == ["acme", "a-tenant-with-a-name"]


@pytest.mark.parametrize(("command", "route"), [("queues", "queue.list"), ("tenants list", "tenant.list")])
async def test_a_damaged_tenant_is_listed_with_its_damage(
    fake: Operators, tmp_path: Path, command: str, route: str
) -> None:
    fake.answers[route] = [{"items": [TENANT, TENANT | {"tenant_id": "globex", "damage": "odd"}]}]
    shown = (await fake.run(tmp_path, *command.split(), "-o", "table")).out.splitlines()
    assert [line.rstrip().endswith(" odd") for line in shown] == [False, False, True]
    fake.answers[route] = [{"items": [TENANT]}]
    assert "DAMAGE" not in (await fake.run(tmp_path, *command.split(), "-o", "table")).out


async def test_what_is_not_found_exits_with_3(fake: Operators, tmp_path: Path) -> None:
    for command in ("queues show x", "tenants show x", "dlq list x", "dlq show x 1-0", "tasks replay x"):
        assert (await fake.run(tmp_path, *command.split())).code == 3, command


async def test_configure_sends_what_is_named_and_null_for_no_value(fake: Operators, tmp_path: Path) -> None:
    fake.answers["tenant.configure"] = [TENANT]
    ended = await fake.run(tmp_path, "tenants", "configure", "acme", "weight=2", "rate=", "fair_users=true")
    assert (ended.code, fake.bodies("tenant.configure")) == (0, [{"weight": 2, "rate": None, "fair_users": True}])
    for wrong in ("weight", "colour=1", "weight=much"):
        assert (await fake.run(tmp_path, "tenants", "configure", "acme", wrong)).code == 2, wrong


async def test_the_secret_of_callbacks_is_shown_or_replaced(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "tenant.callback_secret": [{"tenant_id": "acme", "secret": "whsec_b2xk"}],
        "tenant.rotate_callback_secret": [{"tenant_id": "acme", "secret": "whsec_bmV3"}],
    }
    assert "whsec_b2xk" in (await fake.run(tmp_path, "tenants", "callback-secret", "acme")).out
    assert "whsec_bmV3" in (await fake.run(tmp_path, "tenants", "callback-secret", "acme", "--rotate")).out


ITEM = {
    "kind": "session", "id": "s1", "fields": {"state": "ACTIVE", "user_id": "a", "agent_id": "echo"}, "due_ms": None,
}  # fmt: skip


async def test_a_drain_that_discards_exports_what_an_import_takes_in(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "tenant.drain": [TENANT | {"state": "draining"}],
        "tenant.get": [TENANT | {"state": "drained", "parked": 3}],
        "tenant.export": [{"items": [ITEM]}],
        "tenant.import": [{"imported": 0, "skipped": 0, "sessions": 1}],
    }
    drained = await fake.run(tmp_path, "tenants", "drain", "acme", "--discard", "--export", "a.jsonl", "--yes")
    assert (drained.code, fake.bodies("tenant.drain")) == (0, [{"mode": "discard"}])
    assert "0 tasks are in a.jsonl." in drained.err
    taken = await fake.run(tmp_path, "tenants", "import", "acme", "a.jsonl", "--yes")
    assert (taken.code, json.loads(taken.out)["sessions"]) == (0, 1)
    assert fake.bodies("tenant.import") == [{"items": [ITEM]}]


async def test_a_long_file_is_checked_as_a_whole_before_anything_of_it_is_taken(
    fake: Operators, tmp_path: Path
) -> None:
    lines = [json.dumps(ITEM | {"id": f"s{number}"}).encode() + b"\n" for number in range(250)]
    (tmp_path / "long").write_bytes(b"".join([header_of("acme", lines, "now"), *lines]))
    fake.answers |= {"tenant.import": [{"imported": 0, "skipped": 0, "sessions": 1}]}
    taken = await fake.run(tmp_path, "tenants", "import", "acme", "long", "--yes")
    assert (taken.code, json.loads(taken.out)["sessions"]) == (0, 2)
    sent = fake.bodies("tenant.import")
    assert [(len(body["items"]), body.get("check_only", False)) for body in sent] == [
        (200, True), (50, True), (200, False), (50, False),
    ]  # fmt: skip


async def test_a_damaged_file_is_refused_in_one_sentence_and_nothing_is_sent(fake: Operators, tmp_path: Path) -> None:
    line = json.dumps(ITEM).encode() + b"\n"
    (tmp_path / "foreign").write_bytes(header_of("globex", [line], "now") + line)
    (tmp_path / "torn").write_bytes(header_of("acme", [line, line], "now") + line)
    (tmp_path / "other").write_bytes(b"\x00\x01")
    for name, told in (("foreign", "the work of tenant globex"), ("torn", "1 items"), ("other", "no header")):
        ended = await fake.run(tmp_path, "tenants", "import", "acme", name, "--yes")
        assert (ended.code, ended.out) == (2, "")
        assert told in ended.err.splitlines()[0]
    assert fake.asked == []


async def test_an_export_of_what_is_worked_off_is_wrong_usage(fake: Operators, tmp_path: Path) -> None:
    ended = await fake.run(tmp_path, "tenants", "drain", "acme", "--export", "a.jsonl", "--yes")
    assert (ended.code, fake.asked) == (2, [])


async def test_a_drain_that_puts_aside_at_once_and_later_is_wrong_usage(fake: Operators, tmp_path: Path) -> None:
    ended = await fake.run(tmp_path, "tenants", "drain", "acme", "--discard", "--deadline", "60", "--yes")
    assert (ended.code, fake.asked) == (2, [])


@pytest.mark.parametrize(("code", "hint"), [("ORCH_TENANT_002", "drains"), ("ORCH_TENANT_001", "paused")])
def test_a_refusal_of_a_drained_tenant_suggests_a_resume(code: str, hint: str) -> None:
    error = {"message": "The tenant is draining and takes no new work.", "retry_after_ms": 30_000, "code": code}
    failure = failures.refusal(503, error)
    assert hint in failure.hint
    assert "tenants resume" in failure.hint
    assert failure.code is failures.Exit.FAILED


async def test_dead_letters_are_replayed_part_by_part_with_progress(fake: Operators, tmp_path: Path) -> None:
    other = LETTER | {"id": "2-0"}
    done = {"task_id": "new", "refusal": None}
    refused = {"id": "2-0", "task_id": None, "refusal": {"message": "gone"}}
    fake.answers |= {
        "dlq.list": [{"items": [LETTER, other, LETTER | {"id": "3-0", "replayed_as": "t"}]}],
        "dlq.replay": [{"items": [done | {"id": LETTER["id"]}], "more": True}, {"items": [refused], "more": False}],
    }
    ended = await fake.run(tmp_path, "dlq", "replay", "acme", "--rate", "5", "--yes")
    assert [body["ids"] for body in fake.bodies("dlq.replay")] == [[LETTER["id"], "2-0"], ["2-0"]]
    assert fake.bodies("dlq.replay")[0]["rate"] == 5
    assert ended.code == 5
    assert ended.err.splitlines()[:3] == [
        "1 of 2 replayed", "1 of 2 replayed, 1 refused", "1 of 2 dead letters could not be replayed.",
    ]  # fmt: skip


async def test_dead_letters_that_were_replayed_before_are_told_and_replayed_with_again(
    fake: Operators, tmp_path: Path
) -> None:
    first, second = LETTER, LETTER | {"id": "3-0", "replayed_as": "t"}
    before = {"id": LETTER["id"], "task_id": "t", "refusal": None, "replayed_before": True}
    done = [{"id": one["id"], "task_id": "new", "refusal": None} for one in (first, second)]
    fake.answers |= {
        "dlq.list": [{"items": [first, second]}, {"items": [first, second]}],
        "dlq.replay": [{"items": [before], "more": False}, {"items": done, "more": False}],
    }
    ended = await fake.run(tmp_path, "dlq", "replay", "acme", "--yes")
    assert (ended.code, ended.err.splitlines()) == (0, ["1 of 1 replayed, 1 replayed before, by the tasks shown"])
    assert (await fake.run(tmp_path, "dlq", "replay", "acme", "--again", "--yes")).code == 0
    asked = [(body["ids"], body["again"]) for body in fake.bodies("dlq.replay")]
    assert asked == [([first["id"]], False), ([first["id"], "3-0"], True)]


async def test_paced_replays_are_asked_for_a_second_at_a_time(fake: Operators, tmp_path: Path) -> None:
    names = [f"{number}-0" for number in range(1, 6)]
    parts = [names[:2], names[2:4], names[4:]]
    done = {"task_id": "new", "refusal": None}
    fake.answers["dlq.replay"] = [{"items": [done | {"id": name} for name in part], "more": False} for part in parts]
    ended = await fake.run(tmp_path, "dlq", "replay", "acme", *names, "--rate", "2.5", "--yes")
    assert [body["ids"] for body in fake.bodies("dlq.replay")] == parts
    assert (ended.code, ended.err.splitlines()) == (0, [f"{count} of 5 replayed" for count in (2, 4, 5)])


async def test_a_purge_refuses_without_a_terminal_and_exports_first(fake: Operators, tmp_path: Path) -> None:
    assert (await fake.run(tmp_path, "dlq", "purge", "acme")).code == 2
    assert fake.asked == []
    fake.answers |= {"dlq.list": [{"items": [LETTER]}], "dlq.purge": [{"purged": 1}]}
    ended = await fake.run(tmp_path, "dlq", "purge", "acme", "--export", "old.jsonl", "--yes")
    assert (ended.code, fake.bodies("dlq.purge")) == (0, [{"ids": [LETTER["id"]]}])
    assert json.loads((tmp_path / "old.jsonl").read_text()) == LETTER


async def test_a_purge_does_not_write_over_what_an_earlier_one_has_kept(fake: Operators, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("kept")
    fake.answers |= {"dlq.list": [{"items": [LETTER]}]}
    for name in ("old.jsonl", "nowhere/new.jsonl"):
        ended = await fake.run(tmp_path, "dlq", "purge", "acme", "--export", name, "--yes")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"{name} can't be written: ")
    assert (tmp_path / "old.jsonl").read_text() == "kept"
    assert fake.bodies("dlq.purge") == []


@pytest.mark.parametrize("command", ["replay", "purge"])
async def test_dead_letters_that_are_not_there_are_named(fake: Operators, tmp_path: Path, command: str) -> None:
    entry = "1767225600000-0"
    outcome = {"id": entry, "task_id": "new", "refusal": None}
    fake.answers |= {
        "dlq.list": [{"items": [LETTER]}],
        "dlq.purge": [{"purged": 1}],
        "dlq.replay": [{"items": [outcome], "more": False}, {"items": [], "more": False}],
    }
    partly = await fake.run(tmp_path, "dlq", command, "acme", entry, "1-1", "--yes")
    assert (partly.code, partly.err.splitlines()[-1]) == (5, "There is no such dead letter: 1-1.")
    assert (await fake.run(tmp_path, "dlq", command, "acme", "1-1", "--yes")).code == 3


async def test_nothing_is_drained_that_could_not_be_exported(fake: Operators, tmp_path: Path) -> None:
    arguments = ("tenants", "drain", "acme", "--discard", "--yes", "--export", "nowhere/a.jsonl")
    ended = await fake.run(tmp_path, *arguments)
    assert (ended.code, fake.asked) == (2, [])
    assert ended.err.splitlines()[-1] == "Hint: Nothing was changed."


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
async def test_a_number_that_json_does_not_have_is_wrong_usage(fake: Operators, tmp_path: Path, number: str) -> None:
    ended = await fake.run(tmp_path, "tenants", "configure", "acme", f"weight={number}")
    assert (ended.code, fake.asked) == (2, [])
    assert f"'{number}' is no value of weight" in ended.err


async def test_nodes_are_printed_for_programs_as_the_service_returns_them(fake: Operators, tmp_path: Path) -> None:
    load = {"in_hand": 1, "slots": 100, "ends_per_second": 0.5}
    node = {"node": "n1", "heartbeat_age_ms": 20, "live": True}
    fake.answers["orchestrator.nodes"] = [{"items": [node | {"load": load}]}]
    assert json.loads((await fake.run(tmp_path, "nodes")).out) == node | load


async def test_nodes_show_how_many_tasks_they_run_at_once_where_they_say_so(fake: Operators, tmp_path: Path) -> None:
    old = {"in_hand": 1, "slots": 100, "ends_per_second": 0.5}
    nodes = [
        {"node": name, "heartbeat_age_ms": 20, "live": True, "load": load}
        for name, load in (("new", old | {"limit": 6, "loop_busy": 0.974}), ("old", old))
    ]
    fake.answers["orchestrator.nodes"] = [{"items": nodes}]
    lines = [line.split() for line in (await fake.run(tmp_path, "nodes", "-o", "table")).out.splitlines()]
    assert lines[0][-4:] == ["LIMIT", "BUSY", "ENDS/s", "BREAKERS"]
    assert [line[2:] for line in lines[1:]] == [["1/100", "6", "97%", "0.5"], ["1/100", "0.5"]]


async def test_a_wrong_api_key_is_not_taken_for_a_token(fake: Operators, tmp_path: Path) -> None:
    fake.answers["tenant.list"] = [refusal(401, "The API key is not known.")]
    ended = await fake.run(tmp_path, "tenants", "list")
    hint = "Hint: Give a valid API key with ORCH_API_KEY, or in a profile."
    assert (ended.code, ended.err.splitlines()[-1]) == (1, hint)


async def test_a_purge_asks_at_a_terminal(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {"dlq.purge": [{"purged": 1}], "dlq.list": [{"items": [LETTER]}]}
    async with open_terminal(tmp_path, "dlq", "purge", "acme", **fake.target()) as terminal:
        await terminal.see("Delete 1 dead letter of tenant acme for good?")
        await terminal.enter("n")
        await terminal.see("Nothing was changed.")
        assert await terminal.end() == 1
    fake.answers["dlq.list"] = [{"items": []}]
    for options in ((), ("--since", "1h")):
        async with open_terminal(tmp_path, "dlq", "purge", "acme", *options, **fake.target()) as terminal:
            await terminal.see("There is nothing to delete.")
            assert await terminal.end() == 0
    assert fake.bodies("dlq.purge") == []


async def test_a_replay_changes_its_input_and_shows_the_difference(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "task.replay": [{"task_id": "new", "dry_run": False}],
        "task.get": [
            {"task_id": "old", "status": "completed", "result": {"content": "one\ntwo"}},
            {"task_id": "new", "status": "processing"},
            {"task_id": "new", "status": "completed", "result": {"content": "one\nthree"}},
        ],
    }
    change = ("--set", "payload.content=say it", "--set", "priority=2")
    ended = await fake.run(tmp_path, "tasks", "replay", "old", *change, "--diff")
    assert fake.bodies("task.replay")[0]["changes"] == {"payload.content": "say it", "priority": 2}
    assert (ended.code, ended.out.splitlines()[-2:]) == (0, ["-two", "+three"])
    assert (await fake.run(tmp_path, "tasks", "replay", "old", "--set", "nonsense")).code == 2


async def test_a_replay_that_is_refused_ends_with_1(fake: Operators, tmp_path: Path) -> None:
    fake.answers["task.replay"] = [refusal(409, "Task t is processing: it can be replayed when it has ended.")]
    ended = await fake.run(tmp_path, "tasks", "replay", "t", "--dry-run")
    assert (ended.code, ended.err.splitlines()[0]) == (1, "Task t is processing: it can be replayed when it has ended.")
    assert fake.bodies("task.replay") == [{"changes": {}, "dry_run": True}]


@pytest.mark.parametrize(
    ("line", "route", "field"),
    [
        ("tenants show g", "tenant.list", "tenant_id"),
        ("tools run g", "tool.list", "tool_id"),
        ("workflow run g", "workflow.list", "workflow_id"),
    ],
)
async def test_tab_offers_what_the_service_has(
    fake: Operators, tmp_path: Path, line: str, route: str, field: str
) -> None:
    fake.answers[route] = [{"items": [{field: "acme"}, {field: "globex"}]}]
    words = {"_NOOBLE_ORCH_COMPLETE": "bash_complete", "COMP_WORDS": f"nooble-orch {line}", "COMP_CWORD": "3"}
    ended = await run_cli(tmp_path, **words, **fake.target())
    assert ended.out.split() == ["plain,globex"]


async def test_the_task_of_a_workflow_is_shown_with_how_far_it_is(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "task.get": [{"task_id": "t", "type": "workflow.execute", "status": "waiting"}],
        "workflow.status": [
            {
                "workflow_id": "approval", "progress": 0.5, "steps_completed": 1, "steps_total": 2,
                "current_step": "ask", "status_message": None,
                "input_request": {"node_id": "ask", "prompt": "Shall we?"},
            }
        ],
    }  # fmt: skip
    shown = json.loads((await fake.run(tmp_path, "tasks", "show", "t")).out)
    assert (shown["status"], shown["progress"], shown["current_step"]) == ("waiting", 0.5, "ask")
    assert shown["input_request"]["prompt"] == "Shall we?"
    assert "status_message" not in shown


async def test_the_tenant_is_the_argument_or_that_of_the_option(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {"queue.get": [TENANT], "dlq.list": [{"items": [LETTER]}], "tenant.configure": [TENANT]}
    for line in (
        "queues show --tenant acme", "--tenant acme queues show", "queues show acme --tenant acme", "queues show acme",
        "dlq show --tenant acme 1767225600000-0", "dlq show acme 1767225600000-0", "dlq list --tenant acme",
        "tenants configure --tenant acme weight=2",
    ):  # fmt: skip
        assert (await fake.run(tmp_path, *line.split())).code == 0, line


async def test_two_tenants_are_a_conflict_and_none_is_asked_for(fake: Operators, tmp_path: Path) -> None:
    for line in ("queues show acme --tenant globex", "dlq show acme 1-0 --tenant globex", "dlq replay acme --tenant b"):
        ended = await fake.run(tmp_path, *line.split())
        assert (ended.code, "give one" in ended.err) == (2, True), line
    none = await fake.run(tmp_path, "queues", "show")
    assert (none.code, "Which tenant?" in none.err) == (2, True)
    assert fake.asked == []


async def test_lists_of_all_tenants_show_the_one_of_the_option(fake: Operators, tmp_path: Path) -> None:
    about = [{"name": "tenant.paused", "at": "2026-01-01", "about": {"tenant_id": one}} for one in ("acme", "globex")]
    joined = {"name": "node.joined", "at": "2026-01-01", "about": {}}
    globex = {"tenant_id": "globex"}
    fake.answers |= {
        "queue.get": [TENANT],
        "tenant.get": [TENANT],
        "orchestrator.load": [{"notices": [*about, joined], "tenants": [TENANT | globex]}],
    }
    for command in ("queues", "tenants list", "tenants list --state active", "notices", "top"):
        ended = await fake.run(tmp_path, *command.split(), "--tenant", "acme")
        assert (ended.code, len(ended.out.splitlines()), '"acme"' in ended.out) == (0, 1, True), command
        assert command == "top" or "globex" not in ended.out, command
    assert (await fake.run(tmp_path, *["tenants", "list", "--tenant", "acme", "--state", "paused"])).out == ""
    assert {route for route, _ in fake.asked} == {"queue.get", "tenant.get", "orchestrator.load"}


async def test_an_admin_key_and_a_tenant_are_enough_for_tasks(fake: Operators, tmp_path: Path) -> None:
    fake.answers["task.list"] = [{"items": [{"task_id": LONG_TASK, "type": "chat.message", "status": "failed"}]}]
    environ = {"ORCH_API_URL": fake.url, "ORCH_API_KEY": "key"}
    ended = await run_cli(tmp_path, "tasks", "list", "--tenant", "acme", **environ)
    assert (ended.code, json.loads(ended.out)["task_id"]) == (0, LONG_TASK)
    without = await run_cli(tmp_path, "tasks", "list", **environ)
    assert (without.code, without.err.splitlines()[0]) == (2, "An API key needs a tenant here.")


async def test_an_error_is_json_with_its_code_and_correlation_id_where_json_is_asked_for(
    fake: Operators, tmp_path: Path
) -> None:
    error = {"code": "ORCH_NOTF_001", "message": "There is none.", "correlation_id": "c-1"}
    gone = Response(json.dumps({"data": None, "error": error}), 404, content_type="application/json")
    fake.answers["queue.get"] = [gone]
    told = json.loads((await fake.run(tmp_path, "queues", "show", "x", "-o", "json")).err)["error"]
    assert (told["code"], told["correlation_id"], told["exit_code"]) == ("ORCH_NOTF_001", "c-1", 3)
    plain = await fake.run(tmp_path, "queues", "show", "x")
    assert plain.err == "There is none.\nCode ORCH_NOTF_001, correlation id c-1.\n"
    wrong = await fake.run(tmp_path, "queues", "show", "--no-such", "-o", "json")
    assert (wrong.code, json.loads(wrong.err)["error"]["exit_code"]) == (2, 2)


async def test_a_list_that_was_cut_says_so_and_all_of_it_can_be_had(fake: Operators, tmp_path: Path) -> None:
    fake.answers["tenant.list"] = [{"items": [TENANT, TENANT | {"tenant_id": "b"}]}]
    cut = await fake.run(tmp_path, "tenants", "list", "--limit", "1")
    assert (len(cut.out.splitlines()), "--all" in cut.err) == (1, True)
    whole = await fake.run(tmp_path, "tenants", "list", "--all")
    assert (len(whole.out.splitlines()), whole.err) == (2, "")


@pytest.mark.parametrize("environ", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}])
async def test_no_encoding_breaks_the_output(fake: Operators, tmp_path: Path, environ: dict[str, str]) -> None:
    fake.answers["tenant.get"] = [TENANT | {"note": "日本 … →"}]
    ended = await run_cli(tmp_path, "tenants", "show", "acme", "-o", "table", **fake.target(), **environ)
    assert (ended.code, "?? ... ->" in ended.out) == (0, True)


def listed(*statuses: str) -> dict[str, Any]:
    """Make tasks as a list has them."""
    return {"items": [{"task_id": f"t{number}", "status": status} for number, status in enumerate(statuses)]}


async def test_many_tasks_are_cancelled_by_filter_with_counts_and_receipts(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "task.list": [listed("pending", "pending"), listed()],
        "task.cancel": [{"task_id": "t0", "cancelled": True}, {"task_id": "t1", "cancelled": False}],
    }
    line = ("tasks", "cancel", "--tenant", "acme", "--user", "ada")
    ended = await fake.run(tmp_path, *line, "--yes")
    assert [json.loads(receipt)["result"] for receipt in ended.out.splitlines()] == ["cancelled", "had ended"]
    told = ended.err.splitlines()[:2]
    assert told == ["2 tasks of tenant acme (user ada): 2 pending.", "1 of 2 cancelled, 1 not"]
    assert ended.code == 5
    assert {body["user_id"] for body in fake.bodies("task.list")} == {"ada"}
    assert (await fake.run(tmp_path, *line)).code == 2


async def test_named_tasks_are_cancelled_all_of_them_whatever_has_ended(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "task.get": [{"task_id": "t0", "status": "failed"}, {"task_id": "t1", "status": "pending"}] * 2,
        "task.cancel": [{"task_id": "t0", "cancelled": False}, {"task_id": "t1", "cancelled": True}],
    }
    tried = await fake.run(tmp_path, "tasks", "cancel", "t0", "t1", "--dry-run")
    assert [json.loads(line)["result"] for line in tried.out.splitlines()] == ["is failed", "would be cancelled"]
    assert (tried.code, fake.bodies("task.cancel")) == (0, [])
    ended = await fake.run(tmp_path, "tasks", "cancel", "t0", "t1", "--yes")
    assert [json.loads(line)["result"] for line in ended.out.splitlines()] == ["had ended", "cancelled"]
    assert ended.code == 5


async def test_what_has_ended_is_not_chosen_for_a_cancel_nor_what_goes_on_for_a_replay(
    fake: Operators, tmp_path: Path
) -> None:
    for line in ("cancel --status failed", "replay --status waiting"):
        ended = await fake.run(tmp_path, "tasks", *line.split(), "--tenant", "acme", "--dry-run")
        assert (ended.code, "Only tasks with one of these are" in ended.err) == (2, True), line
    assert fake.asked == []


async def test_a_dry_run_of_many_replays_changes_nothing(fake: Operators, tmp_path: Path) -> None:
    fake.answers["task.list"] = [listed("failed", "failed")]
    line = ("tasks", "replay", "--tenant", "acme", "--since", "1h", "--error-code", "ORCH_CONN_001", "--dry-run")
    ended = await fake.run(tmp_path, *line)
    assert [json.loads(receipt)["result"] for receipt in ended.out.splitlines()] == ["would be replayed"] * 2
    [asked] = fake.bodies("task.list")
    assert (ended.code, asked["status"], asked["error_code"]) == (0, "failed", "ORCH_CONN_001")
    assert fake.bodies("task.replay") == []


async def test_a_dry_run_with_a_difference_shows_that_of_the_input(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "task.get": [{"task_id": "t", "input": {"content": "old"}}],
        "task.replay": [{"task_id": None, "dry_run": True, "input": {"content": "new"}}],
    }
    ended = await fake.run(tmp_path, "tasks", "replay", "t", "--dry-run", "--diff", "--set", "payload.content=new")
    assert [line for line in ended.out.splitlines() if line[0] in "+-"][2:] == [
        '-  "content": "old"',
        '+  "content": "new"',
    ]


async def test_doctor_asks_a_service_elsewhere_for_what_only_it_knows(fake: Operators, tmp_path: Path) -> None:
    store = {
        "redis_version": "7.2.0", "aof_enabled": True, "aof_last_write_status": "ok",
        "maxmemory_policy": "noeviction", "clock_ahead_ms": 2,
    }  # fmt: skip
    report = {"tenant_id": "acme", "tasks": 3, "sessions": 1, "reservations": 0, "places": {"queued": 3}, "faults": []}
    lost = {"kind": "lost", "subject": "t", "says": "is pending, but nowhere to be found", "mended": True}
    fake.answers |= {
        "orchestrator.check": [{"store": store, "tenants": ["acme", "globex"]}],
        "tenant.check": [report],
        "tenant.repair": [report | {"faults": [lost]}],
        "ready": [{}],
    }
    ended = await fake.run(tmp_path, "doctor")
    verdicts = {check["check"]: check["verdict"] for check in map(json.loads, ended.out.splitlines())}
    assert (verdicts["redis version"], verdicts["books acme"], "settings" in verdicts) == ("ok", "ok", False)
    assert verdicts["clock"] == "ok"
    assert "3 tasks (3 queued), 1 session, 0 open calls" in ended.out
    mended = await fake.run(tmp_path, "doctor", "--repair", "--tenant", "acme")
    assert "mended" in mended.out
    assert fake.bodies("tenant.repair") == [{}]
    missing = await fake.run(tmp_path, "doctor", "--repair", "--tenant", "nobodys")
    assert (missing.code, "there is no such tenant" in missing.out) == (1, True)
    assert fake.bodies("tenant.repair") == [{}]


async def test_lists_leave_the_choice_to_the_service(fake: Operators, tmp_path: Path) -> None:
    period = ("--since", "2026-01-02", "--until", "2026-01-04")
    given = {"since": "2026-01-02T00:00:00.000Z", "until": "2026-01-04T00:00:00.000Z"}
    for command, route, options, asked in (
        ("sessions", "session.list", (*period, "--user", "ada"), {**given, "user_id": "ada"}),
        ("batches", "batch.list", (*period, "--user", "ada"), {**given, "user_id": "ada"}),
        ("schedules", "schedule.list", ("--user", "ada", "--limit", "1"), {"user_id": "ada"}),
    ):
        fake.answers[route] = [{"items": []}]
        ended = await fake.run(tmp_path, command, "list", *options)
        assert ended.code == 0, ended.err
        [query] = fake.bodies(route)
        assert {name: value for name, value in query.items() if name != "limit"} == asked


async def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path)
    assert "Usage: nooble-orch" in ended.out + ended.err
    assert "Traceback" not in ended.err
