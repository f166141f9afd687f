"""A batch whose process dies in the middle: every item is answered, and counted, once."""

from pathlib import Path
from typing import Any

from tests.end_to_end.stack import open_stack
from tests.support.eventually import eventually

ITEMS = 30


async def test_after_kill_9_every_item_of_a_batch_stands_once_in_the_results(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()

        async def call(method: str, route: str, data: Any = None) -> Any:
            async with stack.client() as client:
                answer = await client.request(method, f"/api/v1/{route}", json=data)
            return answer.raise_for_status().json()["data"]

        async def until(batch_id: str, least: int) -> Any:
            return await eventually(
                f"{least} items are answered",
                lambda: call("GET", f"batch.get/{batch_id}"),
                lambda batch: batch["completed"] >= least,
                within=40,
            )

        items = [{"content": f"echo {number + 1} words every 30 ms"} for number in range(ITEMS)]
        asked = {"agent_id": "echo", "items": items, "max_concurrency": 5}
        batch_id = (await call("POST", "batch.create", asked))["batch_id"]
        await until(batch_id, 5)
        await stack.node.kill()
        await stack.start()
        batch = await until(batch_id, ITEMS)
        assert (batch["status"], batch["failed"], batch["cancelled"]) == ("completed", 0, 0)
        results = (await call("GET", f"batch.results/{batch_id}?limit=200"))["items"]
        assert [len(item["result"]["content"].split()) for item in results] == list(range(1, ITEMS + 1))
        assert any(item["attempt"] > 1 for item in results)
