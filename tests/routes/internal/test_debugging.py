"""What operators are shown of a session."""

import trio

from tests.support.audited import audited
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, bearer, keyed
from tests.support.eventually import PATIENCE
from tests.support.served import service


async def test_an_operator_sees_everything_known_of_a_session(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        said = [await client.say(session_id) for _ in range(3)]
        first, *rest = [one.data["task_id"] for one in said]
        hub = client.process.services.event_hub
        async with hub.follow("acme", session_id):
            shown = await client.call("GET", f"/internal/v1/debug.session/{session_id}", headers=keyed(ADMIN_KEY))
        assert shown.status == 200, shown.raw
        known = shown.data
        assert (known["session"]["session_id"], known["session"]["tenant_id"]) == (session_id, "acme")
        assert (known["active_task"]["task_id"], known["waiting_tasks"]) == (first, rest)
        assert {task["task_id"] for task in known["tasks"]} == {first, *rest}
        assert [move["new"] for move in known["states"]] == ["PROCESSING", "CREATED"]
        assert known["log"]["offset"] == known["log"]["kept"] == len(known["log"]["last"]) == 4
        assert [frame["offset"] for frame in known["log"]["last"]] == [1, 2, 3, 4]
        assert (known["followers"], known["messages_kept"], known["idle_move_at"]) == (1, 0, None)
        assert len(await audited(client.process.stores.redis, "debug.session")) == 1


async def test_a_session_is_found_without_its_tenant_and_not_in_another(redis_url: str) -> None:
    async with service(redis_url) as client:
        await client.session(bearer(tenant="globex"))
        session_id = await client.session()
        path = f"/internal/v1/debug.session/{session_id}"
        with trio.fail_after(PATIENCE):
            found = await client.call("GET", path, headers={"X-API-Key": ADMIN_KEY})
        assert found.data["session"]["tenant_id"] == "acme"
        for headers in (keyed(ADMIN_KEY, "globex"), keyed(ADMIN_KEY, "nobody")):
            assert (await client.call("GET", path, headers=headers)).fault[:2] == (404, "ORCH_NOTF_001")
        missing = await client.call("GET", "/internal/v1/debug.session/none", headers={"X-API-Key": ADMIN_KEY})
        assert missing.fault[:2] == (404, "ORCH_NOTF_001")
        assert (await client.call("GET", path, headers=keyed(INTERNAL_KEY))).fault[0] in {401, 403}
        assert (await client.call("GET", path)).fault[0] == 401


async def test_what_is_damaged_is_shown_as_it_is(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        stores = client.process.stores
        await stores.redis.rpush(stores.keys.states("acme", session_id), b"{", b"\xff[1]")
        shown = await client.call("GET", f"/internal/v1/debug.session/{session_id}", headers=keyed(ADMIN_KEY))
        assert shown.status == 200, shown.raw
        assert shown.data["states"][-2:] == [{"unreadable": "{"}, {"unreadable": "\ufffd[1]"}]
