"""What happens to commands: unset variables, closed streams, foreign services, services that go away on the way."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import trio
from quart import Response

from cli.commands.access import audit
from cli.commands.operations import doctor
from cli.core import options
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.selection import set_option
from cli.http.answer import Answer
from cli.main import run
from tests.cli.commands.test_operators import LETTER, TENANT, Operators, open_operators
from tests.cli.fake_service import LONG_TASK, envelope, refusal
from tests.cli.runs import close_pipes, environment, run_cli, start_cli
from tests.support.eventually import eventually

AWAY = CliFailure("The service can't be reached.", "", Exit.UNREACHABLE)


@pytest.fixture
async def fake() -> AsyncIterator[Operators]:
    async with open_operators() as running:
        yield running


@pytest.fixture
def command() -> Iterator[None]:
    """A command runs, with no options."""
    with click.Context(click.Command("list")).scope():
        yield


def ended(actions: list[Callable[[], Any]]) -> Callable[..., Any]:
    """Return a function that does one thing after the other, and ends with Ctrl-C."""
    left = iter(actions)

    def look(*_: object, **__: object) -> Any:
        action = next(left, None)
        if action is None:
            raise KeyboardInterrupt
        return action()

    return look


def away() -> None:
    raise AWAY


@pytest.mark.parametrize(
    "arguments",
    [
        ("tenants", "drain", "", "--yes"),
        ("tasks", "cancel", "--tenant", "", "--yes"),
        ("tokens", "revoke", "--user=", "--tenant", "acme", "--yes"),
        ("tasks", "show", ""),
    ],
)
def test_an_unset_variable_of_a_script_stands_for_nothing(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    assert "is empty.\nHint: Is a variable of the shell not set?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b", "../tenant.pause", "a?b", "a#b", "%61"])
async def test_what_is_no_id_leads_to_no_other_route(fake: Operators, tmp_path: Path, name: str) -> None:
    shown = await fake.run(tmp_path, "tenants", "show", name)
    assert (shown.code, shown.err.splitlines()[0], fake.asked) == (2, f"'{name}' is no id.", [])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("tasks", "cancel", "x"), 2, "This needs a confirmation, and there is no terminal."),
        (("chat",), 4, "There is no service to talk to."),
        (("token", "create", "--tenant", "acme"), 1, "There is no secret to sign with."),
        (("profile", "list"), 0, ""),
    ],
)
def test_closed_streams_are_streams_to_nowhere(
    arguments: tuple[str, ...], code: int, told: str, tmp_path: Path
) -> None:
    # A shell closes them for good; tests fork processes that have all three.
    line = [sys.executable, "-m", "cli", *arguments]
    closed = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", *line], env=environment(tmp_path), cwd=tmp_path,
        stderr=subprocess.PIPE, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (closed.returncode, closed.stderr.partition("\n")[0]) == (code, told)


def test_commands_work_where_their_directory_was_deleted(tmp_path: Path) -> None:
    gone = "mkdir gone; cd gone; rmdir ../gone; exec"
    line = ["/bin/sh", "-c", f'{gone} "$@"', "sh", sys.executable, "-m", "cli", "tasks", "list"]
    told = subprocess.run(line, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr.splitlines()[0]) == (4, "There is no service to talk to.")


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        ({"data": None}, 200, "answered 200 without the envelope of an orchestrator."),
        ({"data": []}, 200, "answered 200 without the envelope of an orchestrator."),
        ({"data": None, "error": "boom"}, 500, "answered 500 without the envelope of an orchestrator."),
        ({"data": {}}, 200, "answered without the field"),
    ],
)
async def test_json_of_another_service_is_told_as_that(
    fake: Operators, tmp_path: Path, answer: dict[str, Any], status: int, told: str
) -> None:
    foreign = Response(json.dumps(answer), status, content_type="application/json")
    fake.answers |= {"task.list": [foreign], "tenant.get": [foreign], "task.replay": [foreign]}
    for line in (("tasks", "list"), ("tenants", "drain", "acme", "--dry-run"), ("tasks", "replay", "x", "--diff")):
        failed = await fake.run(tmp_path, *line)
        assert (failed.code, told in failed.err.splitlines()[0]) == (4 if status == 500 else 1, True), failed.err
    raw = await fake.run(tmp_path, "api", "GET", "task.list")
    assert (raw.code, json.loads(raw.out)) == (1 if status == 500 else 0, answer)


async def test_a_load_of_many_callers_fails_in_one_sentence(tmp_path: Path) -> None:
    environ = {"ORCH_API_URL": "http://127.0.0.1:1", "ORCH_TOKEN": "token"}
    failed = await run_cli(tmp_path, "bench", "--messages", "1", "--yes", **environ)
    assert (failed.code, failed.err.count("\n")) == (4, 2)
    assert failed.err.startswith("http://127.0.0.1:1 can't be reached")


@pytest.mark.parametrize("form", ["table", "yaml"])
def test_a_list_is_watched_across_a_restart_of_the_service(
    form: str, command: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(options, "_WATCH_SECONDS", 0)
    set_option(click.get_current_context(), "format", form)
    shown: Callable[[], None] = lambda: click.echo("- shown: 1")  # noqa: E731 - it is given twice, and has no name to tell
    with pytest.raises(KeyboardInterrupt):
        options._watch(ended([shown, away, away, shown]))
    out, err = capsys.readouterr()
    assert (out.count("- shown: 1\n"), err) == (2, "The service can't be reached. Trying again.\n")
    assert out.count("---\n") == (5 if form == "yaml" else 0)
    with pytest.raises(CliFailure, match="can't be reached"):
        options._watch(ended([away]))


def test_the_audit_trail_is_followed_by_the_clock_of_the_service_across_its_restarts(
    command: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "_FOLLOW_SECONDS", 0)
    entries = [_entry(number) for number in (1, 2)]
    asked: list[dict[str, Any]] = []
    look = ended([lambda: entries[:1], lambda: entries[:1], away, lambda: entries])

    class Trail:
        def listed(self, _: str, __: int, **wanted: Any) -> Any:
            asked.append(wanted)
            return look()

    with pytest.raises(KeyboardInterrupt):
        audit._follow(Trail(), {"since": None, "tenant": "acme"})  # type: ignore[arg-type]  # does what is used of it
    out, err = capsys.readouterr()
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["2"]
    assert err == "The service can't be reached. Trying again.\n"
    assert asked[1]["since"] == "1999-01-01T00:00:00+00:00"


def _entry(number: int) -> dict[str, Any]:
    what = {"action": "session.close", "outcome": "ok", "user_id": "ada", "remote_address": "", "detail": ""}
    at = f"1999-01-01T00:00:0{number - 1}+00:00"
    return {"id": str(number), "kind": "activity", "tenant_id": "acme", "at": at, **what}


async def test_a_trail_that_was_cut_says_so(fake: Operators, tmp_path: Path) -> None:
    fake.answers["audit.list"] = [{"items": [_entry(1), _entry(2)]}]
    cut = await fake.run(tmp_path, "audit", "--limit", "1")
    assert cut.err == "There are more: --limit N shows more of them, --all shows all.\n"


async def test_a_drain_that_another_operator_stops_is_no_drain_that_takes_long(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {"tenant.drain": [TENANT | {"state": "draining"}], "tenant.get": [TENANT]}
    stopped = await fake.run(tmp_path, "tenants", "drain", "acme", "--yes")
    assert (stopped.code, stopped.err.splitlines()[-2]) == (
        1, "The drain of acme was stopped by another change: it is active now.",
    )  # fmt: skip


async def test_work_on_many_that_a_fault_ends_shows_what_was_done(fake: Operators, tmp_path: Path) -> None:
    done = {"id": LETTER["id"], "task_id": LONG_TASK, "refusal": None}
    fake.answers |= {
        "dlq.list": [{"items": [LETTER, LETTER | {"id": "1767225600001-0"}]}],
        "dlq.replay": [{"items": [done], "more": True}, refusal(503, "The store is away.", code="ORCH_SYS_002")],
    }
    stopped = await fake.run(tmp_path, "dlq", "replay", "acme", "--yes")
    assert (stopped.code, json.loads(stopped.out)) == (4, done)
    assert stopped.err.splitlines()[1].startswith("Stopped after 1 of 2, and perhaps some of the next 100;")


async def test_cancelled_items_of_a_batch_are_not_taken_for_the_batch(fake: Operators, tmp_path: Path) -> None:
    items = [{"task_id": f"{batch}.{number}", "status": "pending"} for batch in ("b1", "b2") for number in (0, 1)]
    fake.answers |= {"task.list": [{"items": items}, {"items": []}], "task.cancel": [{"cancelled": True}]}
    done = await fake.run(tmp_path, "tasks", "cancel", "--status", "pending", "--yes")
    assert (done.code, done.err.splitlines()[0]) == (
        0, "Among them are items of 2 batches, which go on with other items.",
    )  # fmt: skip


async def test_a_file_of_items_is_read_as_it_was_written(fake: Operators, tmp_path: Path) -> None:
    fake.answers["batch.create"] = [{"batch_id": "b1"}]
    (tmp_path / "items").write_text('{"content": "one\u2028line"}\n\x85\r\nanother', encoding="utf-8")
    assert (await fake.run(tmp_path, "batches", "create", "items", "--agent", "echo")).code == 0
    assert fake.bodies("batch.create")[0]["items"] == [{"content": "one\u2028line"}, {"content": "another"}]
    (tmp_path / "items").write_bytes(b"se\xf1or")
    refused = await fake.run(tmp_path, "batches", "create", "items", "--agent", "echo")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "items is no text in UTF-8: byte 2 is 0xf1.")


async def test_a_standing_that_was_cut_says_of_what(fake: Operators, tmp_path: Path) -> None:
    sessions = [{"session_id": f"s{number}", "state": "ACTIVE"} for number in range(200)]
    fake.answers["session.list"] = [envelope({"items": sessions}, next_cursor="more")]
    fake.answers["task.list"] = [{"items": [{"task_id": "t1", "status": "waiting"}]}]
    once = await fake.run(tmp_path, "events", "--once")
    assert [json.loads(line)["id"] for line in once.out.splitlines()][-2:] == ["s0", "t1"]
    assert once.err == "There are more sessions than the 200 newest; their lists show all.\n"


@pytest.mark.parametrize(("date", "told"), [("2026-01-01", "-86400 s off"), ("2025-12-31", "agrees"), (None, None)])
def test_doctor_tells_where_the_clock_of_this_machine_is_not_that_of_the_service(
    date: str | None, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = datetime(2025, 12, 31, tzinfo=UTC).timestamp()
    headers = {} if date is None else {"date": format_datetime(datetime.fromisoformat(f"{date}T00:00:00+00:00"))}
    monkeypatch.setattr(doctor, "time", lambda: here)
    monkeypatch.setattr(doctor, "_fetch", lambda *_, **__: Answer("http://h/health/live", 200, headers, b"{}", 0.0))
    checks = list(doctor._own_clock(Target("http://h", "ws://h")))
    assert [told in check.says for check in checks if told] == ([] if told is None else [True])
    assert [check.verdict for check in checks] == ([] if told is None else ["ok" if told == "agrees" else "warning"])


async def test_profiles_that_are_added_at_once_are_all_there_and_a_link_stays_one(tmp_path: Path) -> None:
    place = tmp_path / ".config" / "nooble-orch" / "config.toml"
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "kept.toml")
    async with trio.open_nursery() as nursery:
        for number in range(4):
            url = ("--api-url", f"http://h{number}")
            nursery.start_soon(partial(run_cli, tmp_path, "profile", "add", f"p{number}", *url))
    assert place.is_symlink()
    listed = await run_cli(tmp_path, "profile", "list")
    assert [json.loads(line)["name"] for line in listed.out.splitlines()] == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_a_command_as_ctrl_c_does(fake: Operators, tmp_path: Path, number: signal.Signals) -> None:
    draining = TENANT | {"state": "draining"}
    fake.answers |= {"tenant.drain": [draining], "tenant.get": [draining]}
    process = await start_cli(tmp_path, "tenants", "drain", "acme", "--yes", **fake.target())
    await eventually("it looks how far it is", lambda: dict(fake.asked), lambda asked: "tenant.get" in asked)
    process.send_signal(number)
    assert process.stderr is not None
    told = b"".join([piece async for piece in process.stderr]).decode()
    assert await process.wait() == 130
    assert told.endswith("acme goes on draining; 'nooble-orch tenants resume acme' stops it.\n\nInterrupted.\n")
    await close_pipes(process)
