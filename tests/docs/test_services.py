"""The page of services and the code agree."""

from pathlib import Path

import pytest

from orchestrator.clients.registry import OPERATIONS, SERVICES
from tests.docs.services import operations_table, services_table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "services.md"


PAGES = PAGE.parent / "services"


@pytest.mark.parametrize(
    ("page", "table"),
    [
        (PAGE, services_table()),
        *((PAGES / f"{name.replace('_', '-')}.md", operations_table(name)) for name in SERVICES),
    ],
    ids=["services", *SERVICES],
)
def test_a_page_has_its_table_as_the_code_has_it(page: Path, table: str) -> None:
    text = page.read_text(encoding="utf-8")
    assert [row for row in table.split("\n") if row not in text] == [], "python -m tests.docs.services prints them"


def test_every_service_has_a_page() -> None:
    assert {page.stem.replace("-", "_") for page in PAGES.glob("*.md")} == SERVICES.keys()


def test_each_operation_says_where_it_is_used_and_how_it_gets_there() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").split("\n") if line.startswith("| `")]
    for service, name in OPERATIONS:
        (row,) = [row for row in rows if row.startswith(f"| `{service}.{name}` |")]
        _, _, used, transports, _ = row.split("|")
        assert used.strip()
        assert transports.strip() in {"http, queue"}
