"""The routes by which services report on delegated work."""

from typing import Any

import pytest

from tests.support.credentials import bearer, keyed
from tests.support.house import House

DONE = {"result": {"x": 1}}


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("progress", {"progress": 0.5, "status": "running", "current_step": "b"}),
        ("complete", DONE),
        ("complete", {"result": None}),
        ("fail", {"error": {"code": "X_1", "message": "No."}}),
    ],
)
async def test_updates_reach_their_service_with_the_token_of_the_header(action: str, body: dict[str, Any]) -> None:
    house = House()
    headers = keyed() | {"X-Callback-Token": "secret"}
    reply = await house.call("POST", f"/internal/v1/task.{action}/t1", body, headers)
    assert (reply.status, reply.data) == (200, {"task_id": "t1", "accepted": True, "status": "pending"})
    [(task_id, token, _)] = house.task_updates.taken
    assert (task_id, token) == ("t1", "secret")


@pytest.mark.parametrize(
    ("action", "body", "path"),
    [
        ("progress", {"progress": 1.5}, "$.progress"),
        ("progress", {"progress": -0.1}, "$.progress"),
        ("progress", {"nonsense": 1}, "$.nonsense"),
        ("complete", {"callback_token": "x"}, "$.result"),
        ("fail", {"error": {"code": "X_1"}}, "$.error.message"),
        ("fail", {"error": "No."}, "$.error"),
    ],
)
async def test_malformed_updates_are_refused_with_their_paths(action: str, body: dict[str, Any], path: str) -> None:
    house = House()
    reply = await house.call("POST", f"/internal/v1/task.{action}/t1", body, keyed())
    assert reply.status == 400
    assert path in [fault["path"] for fault in reply.error["details"]]
    assert house.task_updates.taken == []


async def test_only_services_may_send_updates() -> None:
    house = House()
    assert (await house.call("POST", "/internal/v1/task.complete/t1", DONE, bearer())).status == 401
    assert (await house.call("POST", "/internal/v1/task.complete/t1", DONE, keyed("wrong"))).status == 401
    assert house.task_updates.taken == []
