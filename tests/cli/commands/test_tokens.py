"""Revoking tokens from the command line."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypercorn.trio
import pytest
import trio
from hypercorn.config import Config

from orchestrator.models.operations.revocation import TokenRevoke
from tests.cli.runs import run_cli
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY
from tests.support.house import House


@asynccontextmanager
async def served(house: House) -> AsyncIterator[str]:
    """Serve it on loopback inside the block."""
    config, over = Config(), trio.Event()
    config.bind = ["127.0.0.1:0"]
    config.loglevel = "CRITICAL"
    app: Any = house.app
    async with trio.open_nursery() as nursery:
        [url] = await nursery.start(
            lambda task_status: hypercorn.trio.serve(app, config, shutdown_trigger=over.wait, task_status=task_status)
        )
        yield url
        over.set()


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (("--jti", "t1"), TokenRevoke(jti="t1")),
        (("--user", "ada"), TokenRevoke(user_id="ada")),
        (("--user", "ada", "--of-tenant", "acme"), TokenRevoke(user_id="ada", tenant_id="acme")),
        (("--of-tenant", "acme"), TokenRevoke(tenant_id="acme")),
        (("--user", "ada", "--tenant", "acme"), TokenRevoke(user_id="ada", tenant_id="acme")),
        (("--tenant", "acme"), TokenRevoke(tenant_id="acme")),
        (("--user", "ada", "--all-tenants"), TokenRevoke(user_id="ada")),
    ],
)
async def test_what_is_named_is_revoked(tmp_path: Path, options: Sequence[str], asked: TokenRevoke) -> None:
    house = House()
    async with served(house) as url:
        environ = {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY}
        ended = await run_cli(tmp_path, "tokens", "revoke", *options, "--yes", **environ)
    assert (ended.code, ended.err) == (0, "")
    assert set(json.loads(ended.out)) == {"revoked_at", "kept_until"}
    assert house.revocations.asked == [asked]


@pytest.mark.parametrize(("environ", "where"), [({"ORCH_TENANT": "acme"}, "for tenant acme"), ({}, "in every tenant")])
async def test_beside_a_dev_stack_only_a_tenant_that_is_named_is_taken(
    tmp_path: Path, environ: dict[str, str], where: str
) -> None:
    (tmp_path / ".nooble").mkdir()
    stack = {"api_url": "http://127.0.0.1:9", "ws_url": "", "redis_url": "", "pid": os.getpid()}
    told = {**stack, "sandbox_url": "", "tenants": {"acme": {}}, "api_keys": {"admin": "key"}}
    (tmp_path / ".nooble" / "dev.json").write_text(json.dumps(told))
    ended = await run_cli(tmp_path, "tokens", "revoke", "--user", "ada", "--dry-run", **environ)
    assert (ended.code, f"Revoke all tokens of user ada {where}?" in ended.err) == (0, True), ended.err


async def test_a_token_is_revoked_only_after_confirmation_and_with_the_right_key(tmp_path: Path) -> None:
    house = House()
    async with served(house) as url:
        environ = {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY}
        refused = await run_cli(tmp_path, "tokens", "revoke", "--user", "ada", **environ)
        assert (refused.code, refused.err.splitlines()[-1]) == (2, "Hint: Add --yes.")
        for options in ((), ("--jti", "t1", "--user", "ada")):
            assert (await run_cli(tmp_path, "tokens", "revoke", *options, "--yes", **environ)).code == 2
        environ["ORCH_API_KEY"] = INTERNAL_KEY
        assert (await run_cli(tmp_path, "tokens", "revoke", "--jti", "t1", "--yes", **environ)).code == 1
    assert house.revocations.asked == []
