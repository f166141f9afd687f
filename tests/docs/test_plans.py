"""The plans that the documentation shows can be run."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from orchestrator.clients.registry import OPERATIONS
from orchestrator.codec import structure
from orchestrator.domain.plans.plans import check
from orchestrator.errors import Unprocessable
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.plans.plan_request import PlanRequest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-plan.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS: list[dict[str, Any]] = [orjson.loads(block) for block in re.findall(r"```json \w+\n(.*?)```", TEXT, re.DOTALL)]


@pytest.mark.parametrize("example", [block for block in BLOCKS if "plan" in block])
def test_a_plan_that_is_shown_has_no_faults(example: dict[str, Any]) -> None:
    check(structure(example["plan"], PlanRequest, "$.data.plan").plan("p", "acme"), OPERATIONS)
    assert isinstance(example["input"], dict)


def test_the_error_that_is_shown_is_the_one_that_comes() -> None:
    (shown,) = (structure(block, ErrorBody) for block in BLOCKS if "code" in block)
    call = {"service": "tool_registry", "operation": "list"}
    plan = {"calls": {"a": {**call, "depends_on": ["b"]}, "b": {**call, "depends_on": ["a"]}}}
    with pytest.raises(Unprocessable) as caught:
        check(structure(plan, PlanRequest).plan("p", "acme"), OPERATIONS)
    assert caught.value.body() == shown


def test_every_operation_is_named() -> None:
    services: dict[str, list[str]] = {}
    for service, name in OPERATIONS:
        services.setdefault(service, []).append(f"`{name}`")
    rows = [f"| `{service}` | {' · '.join(names)} |" for service, names in services.items()]
    assert [row for row in rows if row not in TEXT] == []
