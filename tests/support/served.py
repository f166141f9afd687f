"""The whole service in the test's own process, over a real Redis, asked without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import trio
from attrs import define, evolve
from quart_trio import QuartTrio

from orchestrator.assembly import Process, open_process
from orchestrator.main import create_app
from tests.support.credentials import SETTINGS, bearer
from tests.support.house import Reply

CREATE = "/api/v1/session.create"
CHAT = "/api/v1/chat.message"
BODY = {"agent_id": "docs-guide"}


@define
class Client:
    process: Process
    app: QuartTrio

    async def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        sent = {"Content-Type": "application/json", **(bearer() if headers is None else headers)}
        more: dict[str, Any] = {"data": None if body is None else orjson.dumps(body)}
        with trio.fail_after(10):
            response = await self.app.test_client().open(path, method=method, headers=sent, **more)
        raw: bytes = await response.get_data(as_text=False)
        return Reply(response.status_code, response.headers, raw)

    async def session(self, headers: dict[str, str] | None = None) -> str:
        return str((await self.call("POST", CREATE, BODY, headers)).data["session_id"])

    async def say(self, session_id: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
        return await self.call("POST", CHAT, {"session_id": session_id, "content": "hi", **more}, headers)


@asynccontextmanager
async def service(redis_url: str, *, consuming: bool = False, **settings: Any) -> AsyncIterator[Client]:
    async with open_process(evolve(SETTINGS, redis_url=redis_url, **settings)) as process:
        client = Client(process, create_app(process.services))
        async with trio.open_nursery() as nursery:
            if consuming:
                await nursery.start(process.run)
                yield client
                process.stopping.set()
            else:
                await nursery.start(process.services.event_hub.run)
                yield client
                nursery.cancel_scope.cancel()
