"""`schedules`, against the whole service."""

import json
from functools import partial
from pathlib import Path

import trio
from attrs import evolve
from hypercorn.config import Config

from orchestrator.main import serve
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from tests.cli.runs import run_cli
from tests.support.credentials import SECRET, SETTINGS


async def test_a_schedule_is_created_paused_resumed_and_deleted(redis_url: str, tmp_path: Path) -> None:
    config = Config()
    config.bind, config.loglevel = ["127.0.0.1:0"], "CRITICAL"
    stop = trio.Event()
    settings = evolve(SETTINGS, redis_url=redis_url, drain_timeout=0.1)
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(partial(serve, settings, config, watch_signals=False, stop=stop))
        token = create_token(SECRET, "acme", "ann", role=Role.OPERATOR)
        run = partial(run_cli, tmp_path, ORCH_API_URL=urls[0], ORCH_TOKEN=token, ORCH_TENANT="acme")
        nonsense = await run("schedules", "create", "--cron", "61 * * * *", "--agent", "echo", "-m", "hi")
        assert nonsense.code != 0
        assert "$.cron is no cron expression: Bad minute" in nonsense.err
        timing = ("--cron", "0 8 * * *", "--timezone", "Europe/Madrid")
        created = await run("schedules", "create", *timing, "--agent", "echo", "-m", "hi", "--keep-session")
        schedule = json.loads(created.out)
        assert (schedule["cron"], schedule["session"], schedule["enabled"]) == ("0 8 * * *", "kept", True)
        paused = json.loads((await run("schedules", "pause", schedule["schedule_id"])).out)
        assert (paused["enabled"], paused["next_at"]) == (False, None)
        resumed = json.loads((await run("schedules", "resume", schedule["schedule_id"])).out)
        assert resumed["next_at"] == schedule["next_at"]
        [listed] = [json.loads(line) for line in (await run("schedules", "list")).out.splitlines()]
        assert listed == resumed
        refused = await run("schedules", "delete", schedule["schedule_id"])
        assert refused.code == 2
        assert (await run("schedules", "delete", schedule["schedule_id"], "--yes")).code == 0
        assert (await run("schedules", "show", schedule["schedule_id"])).code == 3
        stop.set()
