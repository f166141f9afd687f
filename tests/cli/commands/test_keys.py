"""API keys from the command line, against the whole service."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.trio
import pytest
import trio
from hypercorn.config import Config

from tests.cli.runs import run_cli
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY
from tests.support.served import service


@asynccontextmanager
async def served(redis_url: str) -> AsyncIterator[dict[str, str]]:
    """Serve it on loopback inside the block; gives the environment of an operator's command line."""
    config, over = Config(), trio.Event()
    config.bind = ["127.0.0.1:0"]
    config.loglevel = "CRITICAL"
    async with service(redis_url, consuming=True) as client, trio.open_nursery() as nursery:
        app: Any = client.app
        serve = partial(hypercorn.trio.serve, app, config, shutdown_trigger=over.wait)
        [url] = await nursery.start(serve)
        yield {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY}
        over.set()


async def test_a_key_is_created_listed_rotated_and_revoked(redis_url: str, tmp_path: Path) -> None:
    async with served(redis_url) as environ:
        keys = partial(run_cli, tmp_path, "keys", **environ)
        created = await keys(
            "create", "query", "--scope", "internal", "--scope", "metrics", "--ttl", "90d", "-o", "json"
        )
        assert (created.code, created.err) == (0, "This is the only time that the key is shown.\n")
        made = json.loads(created.out)
        assert made["key"].startswith("nok_")
        assert (made["name"], made["scopes"]) == ("query", ["internal", "metrics"])
        listed = await keys("list", "-o", "json")
        assert [key["key_id"] for key in json.loads(listed.out)] == [made["key_id"]]
        assert made["key"] not in listed.out
        table = await keys("list", "-o", "table")
        assert made["key_id"] in table.out
        assert "internal, metrics" in table.out

        rotated = json.loads((await keys("rotate", made["key_id"], "--grace", "0", "-o", "json")).out)
        assert (rotated["name"], rotated["replaces"]) == ("query", made["key_id"])
        revoked = await keys("revoke", rotated["key_id"], "--yes", "-o", "json")
        assert json.loads(revoked.out)["key_id"] == rotated["key_id"]
        assert (await keys("revoke", rotated["key_id"], "--yes")).code == 3


async def test_a_created_key_is_good_for_the_command_line(redis_url: str, tmp_path: Path) -> None:
    async with served(redis_url) as environ:
        made = await run_cli(tmp_path, "keys", "create", "ops", "--scope", "admin", "-o", "json", **environ)
        environ["ORCH_API_KEY"] = json.loads(made.out)["key"]
        assert (await run_cli(tmp_path, "keys", "list", "-o", "jsonl", **environ)).out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "a b"), 2),
        (("create", "a", "--scope", "root"), 2),
        (("create", "a", "--ttl", "soon"), 2),
        (("create", "a", "--scope", "metrics", "--of-tenant", "acme"), 2),
        (("revoke", "0123456789abcdef"), 2),
        (("revoke", "0123456789abcdef", "--yes"), 3),
        (("rotate", "0123456789abcdef"), 3),
    ],
)
async def test_what_cannot_be_done_changes_nothing(
    redis_url: str, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    async with served(redis_url) as environ:
        ended = await run_cli(tmp_path, "keys", *arguments, **environ)
        assert (ended.code, ended.out) == (code, "")
        assert json.loads((await run_cli(tmp_path, "keys", "list", "-o", "json", **environ)).out) == []


async def test_another_key_than_an_admins_is_refused(redis_url: str, tmp_path: Path) -> None:
    async with served(redis_url) as environ:
        ended = await run_cli(tmp_path, "keys", "list", **{**environ, "ORCH_API_KEY": INTERNAL_KEY})
        assert ended.code == 1
        assert "scope" in ended.err
