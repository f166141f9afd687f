"""Operators do by an API key and a tenant what users do by a token."""

from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, bearer, keyed
from tests.support.served import service

I1 = "/internal/v1/"
OPERATOR = keyed(ADMIN_KEY)


async def test_an_admin_key_sees_the_tasks_of_the_tenant_it_names(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session(bearer(user="bob"))
        accepted = (await client.say(session_id, bearer(user="bob"))).data
        [task] = (await client.call("GET", I1 + "task.list", headers=OPERATOR)).data["items"]
        assert task["task_id"] == accepted["task_id"]
        assert (await client.call("GET", I1 + "task.list", headers=keyed(ADMIN_KEY, "globex"))).data["items"] == []
        other = await client.call("GET", f"{I1}task.get/{task['task_id']}", headers=keyed(ADMIN_KEY, "globex"))
        assert other.status == 404
        cancelled = await client.call("POST", f"{I1}task.cancel/{task['task_id']}", headers=OPERATOR)
        assert cancelled.data["cancelled"] is True


async def test_no_other_credential_opens_the_routes_of_operators(redis_url: str) -> None:
    async with service(redis_url) as client:
        for headers, status in (
            ({"X-API-Key": ADMIN_KEY}, 400),
            (keyed(INTERNAL_KEY), 403),
            (bearer(), 401),
            ({}, 401),
        ):
            assert (await client.call("GET", I1 + "session.list", headers=headers)).status == status, headers
