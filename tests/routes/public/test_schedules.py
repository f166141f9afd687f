"""Schedules and messages for later over HTTP: what makes no sense is told with its path."""

from typing import Any

import pytest

from tests.support.credentials import bearer
from tests.support.house import House

GOOD = {"cron": "0 8 * * *", "agent_id": "echo", "content": "hi"}


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": "@daily"}, "cron"),
        ({"cron": 5}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"content": ""}, "content"),
        ({"session": "mine"}, "session"),
        ({"every": "day"}, "every"),
    ],
)
async def test_a_malformed_schedule_is_refused_with_the_path(fault: dict[str, Any], path: str) -> None:
    house = House()
    for body, prefix in (({**GOOD, **fault}, "$"), ({"data": {**GOOD, **fault}}, "$.data")):
        reply = await house.call("POST", "/api/v1/schedule.create", body)
        assert reply.fault[:2] == (400, "ORCH_VAL_001")
        assert [one["path"] for one in reply.json["error"]["details"]] == [f"{prefix}.{path}"]
    reply = await house.call("PUT", "/api/v1/schedule.update/sch1", fault)
    assert reply.fault[:2] == (400, "ORCH_VAL_001")


async def test_a_token_that_may_only_read_creates_no_schedule() -> None:
    headers = bearer(permissions=["workflow:read"])
    refused = await House().call("POST", "/api/v1/schedule.create", GOOD, headers)
    assert refused.fault[:2] == (403, "ORCH_AUTH_003")
    assert (await House().call("GET", "/api/v1/schedule.get/sch1", None, headers)).status == 200


@pytest.mark.parametrize("moment", ["tomorrow", "2026-01-01", "2026-01-01T08:00:00", 1_767_225_600, ""])
async def test_a_malformed_moment_is_refused_with_its_path(moment: Any) -> None:
    house = House()
    body = {"session_id": await house.session(), "content": "hi", "scheduled_for": moment}
    reply = await house.call("POST", "/api/v1/chat.message", body)
    assert reply.fault[:2] == (400, "ORCH_VAL_001")
    assert reply.json["error"]["details"][0]["path"] == "$.scheduled_for"


@pytest.mark.parametrize("mode", ["wait", "stream"])
async def test_a_delayed_message_can_not_be_waited_for(mode: str) -> None:
    house = House()
    body = {"session_id": await house.session(), "content": "hi", "mode": mode, "scheduled_for": "2030-01-01T00:00:00Z"}
    assert (await house.call("POST", "/api/v1/chat.message", body)).fault[:2] == (422, "ORCH_VAL_002")
