"""`usage`: tables for people, records for programs."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.fake_service import FakeService, run_fake
from tests.cli.runs import run_cli, target


@pytest.fixture
async def fake() -> AsyncIterator[FakeService]:
    async with run_fake() as running:
        yield running


async def test_a_table_of_80_columns_ends_with_the_sum(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "-o", "table", "usage", "--by", "agent", COLUMNS="80", **target(fake))
    rows = [line.split() for line in ended.out.splitlines()]
    assert rows == [
        ["KEY", "CALLS", "CACHED", "PROMPT", "ANSWER", "TOKENS", "UNSURE", "COST"],
        ["large", "3", "1", "60000", "15", "60015", "0", "0.00375"],
        ["-", "2", "1", "40000", "10", "40010", "0", "0.0025"],
        ["all", "5", "1", "100000", "25", "100025", "0", "0.00625"],
    ]
    assert max(map(len, ended.out.splitlines())) <= 80
    assert fake.requests == ["GET /api/v1/usage.get?group_by=agent"]


@pytest.mark.parametrize("form", ["json", "jsonl"])
async def test_programs_get_the_items_as_they_are(fake: FakeService, tmp_path: Path, form: str) -> None:
    days = ("--from", "2026-01-01", "--to", "2026-01-31")
    ended = await run_cli(tmp_path, "usage", *days, "-o", form, **target(fake))
    items = json.loads(ended.out) if form == "json" else [json.loads(line) for line in ended.out.splitlines()]
    assert [(item["key"], item["cost"]) for item in items] == [("large", 0.00375), ("", 0.0025)]
    assert fake.requests == ["GET /api/v1/usage.get?group_by=model&from=2026-01-01&to=2026-01-31"]


async def test_where_nothing_was_spent_that_is_said(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "-o", "table", "usage", "--from", "2020-01-01", **target(fake))
    assert (ended.code, ended.out, ended.err) == (0, "", "Nothing was spent.\n")


async def test_a_malformed_day_is_named(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "usage", "--from", "yesterday", **target(fake))
    assert ended.code == 2
    assert "yesterday" in ended.err
    assert fake.requests == []
