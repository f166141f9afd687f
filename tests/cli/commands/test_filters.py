"""What lists can be narrowed by: the same words for the same things, wherever a noun has them."""

from typing import Final

import pytest
from attrs import fields

from orchestrator.routes import ROUTES
from tests.docs.filters import BULK, FILTERS, LISTS, options_of

HAS: Final = {
    "sessions list": "since until agent user status limit all watch",
    "tasks list": "since until error-code agent user type status limit all watch",
    "batches list": "since until agent user status limit all watch",
    "batches results": "status limit all",
    "callbacks list": "limit all watch",
    "schedules list": "since until agent user status limit all watch",
    "dlq list": "since until error-code user type limit all watch",
    "queues": "limit all watch",
    "tenants list": "status limit all watch",
    "audit": "since until user limit all",
    "usage": "since until",
    "keys list": "limit all watch",
    "agents list": "limit all watch",
    "tools list": "agent limit all watch",
    "workflow list": "limit all watch",
    "nodes": "watch",
    "notices": "since until limit all",
    "tasks cancel": "since until error-code agent user type status",
    "tasks replay": "since until error-code agent user type status",
    "dlq replay": "since until error-code user type",
    "dlq purge": "since until error-code user type",
}
"""What a noun does not have is not asked for: a dead letter has no agent, since it may have been no task at all."""
PARAMETERS: Final = {
    "--error-code": "error_code",
    "--agent": "agent_id",
    "--user": "user_id",
    "--type": "type",
    "--since": "since",
    "--until": "until",
}


@pytest.mark.parametrize("words", [*LISTS, *BULK])
def test_a_list_is_narrowed_by_all_that_its_noun_has(words: str) -> None:
    has = options_of(words)
    assert {name.removeprefix("--") for name in FILTERS if name in has} == set(HAS[words].split())
    assert "--output" in has


@pytest.mark.parametrize(("words", "name"), [(words, name) for words, name in LISTS.items() if name])
def test_the_service_narrows_it_before_it_answers(words: str, name: str) -> None:
    queries = [route.query for route in ROUTES if route.name == name and route.query is not None]
    assert queries
    asked = {attribute.name for attribute in fields(queries[0])} | {"actor"}
    for option, parameter in PARAMETERS.items():
        if option in options_of(words) and words != "audit":
            assert parameter in asked, f"{name} takes no {parameter}"
    if "--status" in options_of(words):
        assert {"status", "state", "enabled"} & asked
