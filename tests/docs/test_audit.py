"""Every audited action is in the table, and every row of the table is audited somewhere."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.models.operations.audit import ACTIONS
from orchestrator.models.operations.tenant import TenantState

ROOT: Final = Path(__file__).parents[2]
CALLS: Final = {"done", "record", "_changed", "_done"}


def named() -> Iterator[str]:
    """Yield the names of actions in the code: the string constants that calls of the trail are given."""
    for path in (ROOT / "orchestrator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in CALLS:
                continue
            for argument in node.args[:2]:
                for part in ast.walk(argument):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str) and "." in part.value:
                        yield part.value


def test_every_action_is_a_row_and_every_row_an_action() -> None:
    found = {name for name in named() if not name.endswith(".")}
    found |= {f"tenant.{state}" for state in (TenantState.ACTIVE, TenantState.PAUSED, TenantState.DRAINING)}
    found |= {"auth.failed", "auth.refused", "frame.foreign"}
    assert found - set(ACTIONS) == set()
    assert set(ACTIONS) - found == set()
