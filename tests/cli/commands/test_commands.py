"""The commands that ask once and print, and what all commands have in common."""

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import click
import jwt
import pytest
import trio
from click.testing import CliRunner

from cli.main import nooble_orch, run
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from tests.cli.fake_service import LONG_TASK, TOKEN, FakeService, run_fake
from tests.cli.runs import environment, run_cli, target

SECRET = "a-secret-of-at-least-thirty-two-characters"


@pytest.fixture
async def fake() -> AsyncIterator[FakeService]:
    async with run_fake() as running:
        yield running


async def test_a_list_in_a_pipe_is_json_lines_over_all_pages(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "sessions", "list", "--state", "active", **target(fake))
    assert ended.code == 0
    assert [json.loads(line)["session_id"] for line in ended.out.splitlines()] == [
        "session-1", "session-2", "session-3",
    ]  # fmt: skip
    assert fake.requests[0] == "GET /api/v1/session.list?limit=50&state=ACTIVE"


async def test_a_limit_ends_a_list(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "sessions", "list", "--limit", "1", "-o", "json", **target(fake))
    assert [item["session_id"] for item in json.loads(ended.out)] == ["session-1"]


async def test_options_stand_before_or_after_the_command_and_outweigh_the_environment(
    fake: FakeService, tmp_path: Path
) -> None:
    for arguments in (
        ("--api-url", fake.url, "--token", TOKEN, "tasks", "list"),
        ("tasks", "--api-url", fake.url, "list", "--token", TOKEN),
        ("--api-url", "http://127.0.0.1:9", "tasks", "list", "--token", TOKEN, "--api-url", fake.url),
    ):
        ended = await run_cli(tmp_path, *arguments, ORCH_TOKEN="another")
        assert (ended.code, ended.err) == (0, "")
        assert json.loads(ended.out)["task_id"] == LONG_TASK


async def test_a_table_fits_80_columns_and_keeps_ids_whole(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "-o", "table", "tasks", "list", COLUMNS="80", **target(fake))
    assert ended.out.splitlines()[0].split() == ["TASK", "TYPE", "STATUS", "AGE", "ERROR"]
    assert ended.out.splitlines()[1].split() == [LONG_TASK, "chat.message", "failed", "ORCH_CONN_001"]
    assert max(map(len, ended.out.splitlines())) <= 80


async def test_a_profile_names_the_service(fake: FakeService, tmp_path: Path) -> None:
    config = tmp_path / ".config" / "nooble-orch" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[profiles.here]\napi_url = "{fake.url}"\ntoken = "{TOKEN}"\n')
    ended = await run_cli(tmp_path, "--profile", "here", "sessions", "show", "session-1")
    assert json.loads(ended.out)["agent_id"] == "echo"
    unknown = await run_cli(tmp_path, "sessions", "show", "session-1", ORCH_PROFILE="there")
    assert (unknown.code, unknown.err.splitlines()[1]) == (2, "Hint: Known: here.")


async def test_a_running_dev_stack_is_found_from_a_directory_below(fake: FakeService, tmp_path: Path) -> None:
    (tmp_path / ".nooble").mkdir()
    tokens = {"token": "a user's", "admin_token": TOKEN}
    stack = {
        "api_url": fake.url, "ws_url": "ws://127.0.0.1:1", "redis_url": "redis://127.0.0.1:1", "sandbox_url": "",
        "pid": os.getpid(), "tenants": {"acme": tokens}, "api_keys": {"internal": "i", "admin": "a"},
    }  # fmt: skip
    (tmp_path / ".nooble" / "dev.json").write_text(json.dumps(stack))
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    ended = await run_cli(below, "tasks", "list")
    assert (ended.code, ended.err) == (0, "")
    stack["pid"] = 2**22 + 1  # beyond the largest pid of Linux
    (tmp_path / ".nooble" / "dev.json").write_text(json.dumps(stack))
    ended = await run_cli(below, "tasks", "list")
    assert (ended.code, ended.err.splitlines()[0]) == (4, "There is no service to talk to.")


async def test_a_destructive_command_needs_a_terminal_or_the_option_yes(fake: FakeService, tmp_path: Path) -> None:
    refused = await run_cli(tmp_path, "sessions", "close", "session-1", **target(fake))
    assert (refused.code, fake.closed) == (2, False)
    assert refused.err == "This needs a confirmation, and there is no terminal.\nHint: Add --yes.\n"
    done = await run_cli(tmp_path, "sessions", "close", "session-1", "--yes", **target(fake))
    assert (done.code, json.loads(done.out)["state"]) == (0, "TERMINATED")


async def test_cancelling_what_has_ended_fails(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "tasks", "cancel", "task-1", "--yes", **target(fake))
    assert (ended.code, ended.err.splitlines()[0]) == (1, "The task had already ended; nothing was cancelled.")


async def test_a_bad_token_is_told_with_what_to_do(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "tasks", "list", **{**target(fake), "ORCH_TOKEN": "bad"})
    assert ended.code == 1
    assert ended.err.splitlines()[0] == "The token is not good."
    assert ended.err.splitlines()[1].startswith("Hint: Give a valid token")


async def test_watching_prints_events_until_the_session_is_closed(fake: FakeService, tmp_path: Path) -> None:
    fake.answer("message-1", "two words")
    fake.gone = True
    ended = await run_cli(tmp_path, "sessions", "watch", "session-1", "--from-start", **target(fake))
    assert ended.code == 0, ended.err
    assert fake.connections == ["last_offset=0"]
    assert json.loads(ended.out.splitlines()[0])["type"]["action"] == "state_update"
    for form, begin in (("table", "         session.state_update   ACTIVE"), ("yaml", "---\n")):
        shown = await run_cli(tmp_path, "sessions", "watch", "session-1", "--from-start", "-o", form, **target(fake))
        assert shown.out.startswith(begin), shown.out


async def test_a_token_is_printed_alone(tmp_path: Path) -> None:
    arguments = ("token", "create", "--user", "ada", "--role", "admin", "--ttl", "15m", "--permissions", "chat:read")
    ended = await run_cli(tmp_path, *arguments, "--tenant", "acme", ORCH_JWT__SECRET=SECRET)
    claims = jwt.decode(ended.out.strip(), SECRET, algorithms=["HS256"])
    assert (claims["tenant_id"], claims["sub"], claims["role"]) == ("acme", "ada", "admin")
    assert claims["permissions"] == ["chat:read"]
    assert claims["exp"] - claims["iat"] == pytest.approx(900, abs=2)
    assert ended.out.count("\n") == 1


async def test_no_token_is_made_that_the_service_would_refuse(tmp_path: Path) -> None:
    for options in (("--user", "a b", "--tenant", "acme"), ("--tenant", "acme,a:b")):
        ended = await run_cli(tmp_path, "token", "create", *options, ORCH_JWT__SECRET=SECRET)
        assert (ended.code, ended.out, "takes no token with the id 'a" in ended.err) == (2, "", True)


async def test_a_token_is_signed_with_the_secret_of_the_dev_stack(tmp_path: Path) -> None:
    (tmp_path / ".nooble").mkdir()
    (tmp_path / ".nooble" / "jwt-secret").write_text(SECRET + "\n")
    ended = await run_cli(tmp_path, "token", "create", "--tenant", "acme,globex")
    assert jwt.decode(ended.out.strip(), SECRET, algorithms=["HS256"])["tenants"] == ["acme", "globex"]
    elsewhere = await run_cli(tmp_path / ".nooble", "token", "create", "--tenant", "acme", "--data-dir", "nowhere")
    assert (elsewhere.code, elsewhere.err.splitlines()[0]) == (1, "There is no secret to sign with.")


async def test_config_shows_each_value_and_its_source_but_no_secret(tmp_path: Path) -> None:
    url = "redis://somebody:hidden@127.0.0.1:1/0"
    ended = await run_cli(tmp_path, "config", "--redis-url", url, ORCH_JWT__SECRET=SECRET, ORCH_CONCURRENCY="7")
    found = {record["setting"]: record for record in map(json.loads, ended.out.splitlines())}
    assert found["ORCH_CONCURRENCY"]["value"] == 7
    assert found["ORCH_CONCURRENCY"]["source"] == "ORCH_CONCURRENCY"
    assert found["ORCH_LEASE"]["source"] == "default"
    assert found["ORCH_JWT__SECRET"]["value"] == "***"
    assert found["ORCH_REDIS_URL"]["value"] == "redis://***@127.0.0.1:1/0"
    assert found["ORCH_REDIS_URL"]["source"] == "--redis-url"
    assert SECRET not in ended.out
    assert "hidden" not in ended.out


async def test_config_tells_all_faults_at_once(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "config", ORCH_CONCURRENCY="many", ORCH_LEESE="3")
    assert ended.code == 1
    assert ended.err.splitlines()[:3] == [
        "ORCH_LEESE: there is no such setting",
        "ORCH_CONCURRENCY: expected a whole number",
        "ORCH_JWT__SECRET: expected a secret, or a URL in ORCH_JWT__JWKS_URL",
    ]


async def test_doctor_looks_at_redis_and_all_services(fake: FakeService, redis_url: str, tmp_path: Path) -> None:
    ended = await run_cli(
        tmp_path,
        "doctor",
        "--redis-url",
        redis_url,
        ORCH_JWT__SECRET=SECRET,
        ORCH_SERVICES__QUERY__URL="http://127.0.0.1:9",
    )
    found = {record["check"]: record["verdict"] for record in map(json.loads, ended.out.splitlines())}
    assert found["settings"] == found["redis"] == found["redis version"] == found["redis clock"] == "ok"
    assert found["redis writes"] == "ok"
    assert found["redis persistence"] == "warning"
    assert found["redis eviction"] == "ok"
    assert found["query"] == "failed"
    assert found["conversation"] == "warning"
    assert ended.code == 4
    assert ended.err == f"Of {len(found)} checks 1 failed: query.\n"


async def test_doctor_says_in_redis_own_words_why_it_takes_no_writes(redis_url: str, tmp_path: Path) -> None:
    async with open_redis(redis_url) as redis:
        await redis.config_set("maxmemory", "1")
        try:
            ended = await run_cli(tmp_path, "doctor", "--redis-url", redis_url, ORCH_JWT__SECRET=SECRET)
        finally:
            await redis.config_set("maxmemory", "0")
    found = {record["check"]: record for record in map(json.loads, ended.out.splitlines())}
    assert found["redis"]["verdict"] == "ok"
    assert (found["redis writes"]["verdict"], found["redis writes"]["says"].split()[0]) == ("failed", "OOM")


async def test_doctor_names_a_tenant_whose_keys_are_damaged_and_goes_on(redis_url: str, tmp_path: Path) -> None:
    async with open_redis(redis_url) as redis:
        await redis.sadd(Keys().tenants, "acme", "globex")
        await redis.set(Keys().delayed("acme"), "damaged")
    told = []
    for options in ((), ("--repair",), ()):
        ended = await run_cli(tmp_path, "doctor", *options, "--redis-url", redis_url, ORCH_JWT__SECRET=SECRET)
        found = [json.loads(line) for line in ended.out.splitlines()]
        told.append([(one["verdict"], one["says"]) for one in found if one["check"] == "books acme"])
        assert [one["verdict"] for one in found if one["check"] == "books globex"] == ["ok"]
        if not options:
            one = await run_cli(tmp_path, "doctor", "--tenant", "globex", "--redis-url", redis_url)
            assert [name for name in ("acme", "globex") if f"books {name}" in one.out] == ["globex"]
    [(verdict, says)] = told[0]
    assert verdict == "failed"
    assert says.startswith("orchestrator:tasks:acme:delayed is a string, and should be a zset; --repair would put")
    assert [verdict for verdict, _ in told[1]] == ["mended", "ok"]
    assert [verdict for verdict, _ in told[2]] == ["ok"]


async def test_wrong_usage_is_exit_2_and_nothing_else_happens(tmp_path: Path) -> None:
    for arguments in (
        ("nonsense",),
        ("sessions", "list", "--limit", "0"),
        ("chat", "--no-such-option"),
        ("dev", "--port", "x"),
    ):
        ended = await run_cli(tmp_path, *arguments)
        assert (ended.code, ended.out) == (2, ""), arguments


def commands_of(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands_of(command, *path, name)


@pytest.mark.parametrize("command", list(commands_of(nooble_orch)), ids=" ".join)
def test_the_help_of_every_command_fits_80_columns_and_has_an_example(command: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(nooble_orch, [*command, "--help"], prog_name="nooble-orch", terminal_width=80)
    assert ended.exit_code == 0
    assert re.search(r"Example:\n +.*nooble-orch " + " ".join(command), ended.output)
    # Examples are there to be copied, so they are not wrapped, and are short.
    assert [line for line in ended.output.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", ["", "tasks list", "tenants drain", "schedules create"])
def test_help_fits_a_narrow_terminal(command: str) -> None:
    ended = CliRunner(env={"COLUMNS": "40"}).invoke(nooble_orch, [*command.split(), "--help"], prog_name="nooble-orch")
    # Examples and choices are not broken.
    wide = [line for line in ended.output.splitlines() if len(line) > 40]
    assert [line for line in wide if "nooble-orch " not in line and "[table|" not in line] == []
    assert "    Only tasks of this user." in ended.output or command != "tasks list"


async def test_tab_offers_commands_options_and_tasks(fake: FakeService, tmp_path: Path) -> None:
    async def offered(words: str, number: int) -> list[str]:
        request = {"_NOOBLE_ORCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        ended = await run_cli(tmp_path, **request, **target(fake))
        return ended.out.split()

    assert await offered("nooble-orch se", 1) == ["plain,serve", "plain,sessions"]
    assert await offered("nooble-orch tasks show ", 3) == [f"plain,{LONG_TASK}"]
    assert await offered("nooble-orch chat --agent c", 3) == ["plain,calculator"]
    assert "plain,--state" in await offered("nooble-orch sessions list --", 3)


@pytest.mark.parametrize("form", ["table", "json"])
async def test_output_that_can_not_be_written_is_told_in_one_sentence(
    fake: FakeService, tmp_path: Path, form: str
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with trio.fail_after(30):
        command = [sys.executable, "-m", "cli", "tasks", "list", "-o", form]
        environ = environment(tmp_path, **target(fake))
        done = await trio.run_process(command, stdout=full, capture_stderr=True, check=False, env=environ)
    os.close(full)
    assert done.returncode == 1
    assert b"The output can't be written: No space left on device." in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_place_that_can_not_be_used_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["man", "x" * 300],
        ["tenants", "import", "acme", "x" * 300, "--yes"],
        ["man", "/dev/null/pages"],
    ):
        assert run(arguments) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert re.search(r"can't be used: (File name too long|Not a directory)\.", line)
