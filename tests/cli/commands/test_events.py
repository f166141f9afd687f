"""`events`: all that happens in a tenant, against the whole service."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from orchestrator.models.common.principal import Role
from orchestrator.routes.http import event_stream
from tests.cli.commands.test_tokens import served
from tests.cli.runs import close_pipes, run_cli, start_cli
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.eventually import eventually
from tests.support.forked import ForkedProcess
from tests.support.served import Client, service


@define
class Followed:
    """The lines of a running `events`."""

    process: ForkedProcess
    rest: bytes = b""

    async def line(self) -> dict[str, Any]:
        with trio.fail_after(20):
            while b"\n" not in self.rest:
                assert self.process.stdout is not None
                more = await self.process.stdout.receive_some()
                assert more, "the command has ended"
                self.rest += more
        raw, _, self.rest = self.rest.partition(b"\n")
        told: dict[str, Any] = json.loads(raw)
        return told


@asynccontextmanager
async def following(client: Client, home: Path, *arguments: str, **environ: str) -> AsyncIterator[Followed]:
    """Run `events` until the end of the block; it follows from the beginning of the block on."""
    process = await start_cli(home, "events", *arguments, **environ)
    try:
        hub = client.process.services.event_hub
        await eventually("the tenant is followed", lambda: hub.followers("acme", "feed:"))
        yield Followed(process)
    finally:
        process.kill()
        await process.wait()
        await close_pipes(process)


async def test_each_change_of_a_turn_is_shown_with_what_was_before(redis_url: str, tmp_path: Path) -> None:
    async with service(redis_url) as client, served(client) as url:  # type: ignore[arg-type] # has an app, as a house
        token = bearer(user="olga", role=Role.OPERATOR)["Authorization"].removeprefix("Bearer ")
        async with following(client, tmp_path, ORCH_API_URL=url, ORCH_TOKEN=token) as events:
            session = await client.session()
            created = await events.line()
            assert (created["kind"], created["id"], created["state"]) == ("session", session, "CREATED")
            assert (created["before"], created["user_id"], created["event"]) == (None, "ann", "session.created")
            task = (await client.say(session)).data["task_id"]
            queued, moved = await events.line(), await events.line()
            assert (queued["kind"], queued["id"], queued["state"]) == ("task", task, "queued")
            assert (moved["id"], moved["before"], moved["state"]) == (session, "CREATED", "PROCESSING")
            await client.call("POST", f"/api/v1/task.cancel/{task}", {})
            cancelled = await events.line()
            assert (cancelled["id"], cancelled["before"], cancelled["state"]) == (task, "queued", "cancelled")


async def test_no_event_is_lost_or_doubled_however_often_the_connection_ends(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "STREAM_SECONDS", 0.1)
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.02)
    asked = 0
    async with service(redis_url) as client, served(client) as url:  # type: ignore[arg-type] # has an app, as a house
        environ = {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY}
        open_feed = client.process.services.feed.open

        async def counted(tenant_id: str) -> None:
            nonlocal asked
            asked += 1
            await open_feed(tenant_id)

        monkeypatch.setattr(type(client.process.services.feed), "open", lambda _, tenant_id, **__: counted(tenant_id))
        async with following(client, tmp_path, "--tenant", "acme", **environ) as events:
            sessions = []
            for number in range(40):
                sessions.append(await client.session())
                if number % 10 == 0:
                    before = asked
                    await eventually("the stream was asked for again", lambda before=before: asked > before)  # type: ignore[misc] # mypy does not infer a lambda with a default
            assert [(await events.line())["id"] for _ in sessions] == sessions
        assert asked > 4


async def test_a_kind_a_user_and_pieces_can_be_asked_for(redis_url: str, tmp_path: Path) -> None:
    async with service(redis_url) as client, served(client) as url:  # type: ignore[arg-type] # has an app, as a house
        environ = {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY, "ORCH_TENANT": "acme"}
        wanted = ("--kind", "notification", "--user", "bob", "--pieces")
        async with following(client, tmp_path, *wanted, **environ) as events:
            await client.session()
            for users in (["ann"], ["ann", "bob"], None):
                body = {"title": "Hi", "message": "You", "user_ids": users}
                await client.call("POST", "/internal/v1/notification.send", body, keyed())
            told = [await events.line() for _ in range(2)]
        assert [(one["kind"], one["event"], one["data"]["users"]) for one in told] == [
            ("notification", "system.notification", 2),
            ("notification", "system.notification", None),
        ]
        assert await client.process.stores.redis.hget("orchestrator:feed:acme", "pieces")


async def test_once_shows_how_all_stands_and_a_user_may_not_follow(redis_url: str, tmp_path: Path) -> None:
    async with service(redis_url) as client, served(client) as url:  # type: ignore[arg-type] # has an app, as a house
        session = await client.session()
        environ = {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY, "ORCH_TENANT": "acme"}
        once = await run_cli(tmp_path, "events", "--once", **environ)
        assert [json.loads(line)["id"] for line in once.out.splitlines()] == [session]
        token = bearer()["Authorization"].removeprefix("Bearer ")
        refused = await run_cli(tmp_path, "events", ORCH_API_URL=url, ORCH_TOKEN=token)
        assert (refused.code, refused.out) == (1, "")
        assert "may follow all of it" in refused.err
