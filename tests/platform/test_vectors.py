"""The comparison with documented shapes finds what is missing, and nothing else."""

import re
from datetime import UTC, datetime
from pathlib import Path

from tests.platform.vectors import missing, vector, vectors

SESSION = "5e551000-0000-4000-8000-000000000001"


def test_there_are_a_hundred_and_twenty_of_them() -> None:
    assert len(vectors()) == 120
    assert {one.priority for one in vectors().values()} == {"must", "should", "may"}


def test_each_of_them_is_tried_by_a_test_of_this_folder() -> None:
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py") if path.name != "test_vectors.py")
    named = {*re.findall(r"""["']((?:hdr|rest|ws|svc|q|tok|err|log|met)-[a-z0-9-]+)["']""", sources)}
    assert vectors().keys() - named == set()
    assert {name for name in named if vectors().get(name) is None} == set()


def test_a_field_that_is_missing_or_of_another_type_is_told_with_its_path() -> None:
    example = {"data": {"status": "active", "items": [{"id": "a"}], "total": 1}}
    came = {"data": {"status": 3, "items": [{}], "total": 0, "more": True}}
    assert missing(example, came) == ["$.data.status is a number, not a string", "$.data.items[0].id is missing"]


def test_null_counts_only_where_it_may_stand() -> None:
    assert missing({"estimate": "soon"}, {"estimate": None}) == ["$.estimate is null, not a string"]
    assert missing({"estimate": "soon"}, {"estimate": None}, nullable=frozenset({"estimate"})) == []


def test_ids_and_moments_of_the_run_are_put_in() -> None:
    now = datetime(2026, 11, 28, 9, tzinfo=UTC)
    filled = vector("rest-session-create-res").filled({SESSION: "mine"}, now)
    assert filled["data"]["session_id"] == "mine"
    assert filled["data"]["websocket_url"].endswith("/ws/v1/chat/mine")
    assert filled["created_at"] == "2026-11-28T09:00:00.000Z"
