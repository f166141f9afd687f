"""Documentation and code agree."""

import re
from pathlib import Path

import click
import orjson
import pytest

from cli.main import nooble_orch
from orchestrator.models.sessions.session import SessionState
from orchestrator.store.keys import Keys
from tests.docs.tables import TABLES

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
COMMAND = re.compile(r"nooble-orch ([a-z]+)(?: ([a-z][a-z-]+))?")
FILE = re.compile(r"`((?:orchestrator|cli|tests|docs)/[\w/.-]+\.(?:py|lua|md))`")
LINK = re.compile(r"\]\(([^)#:]+\.md)[^)]*\)")


@pytest.mark.parametrize(("page", "table"), [(page, table) for page, tables in TABLES.items() for table in tables])
def test_a_reference_page_has_its_table_as_the_code_has_it(page: str, table: str) -> None:
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
    missing = [row for row in table.split("\n") if row not in text]
    assert not missing, f"python -m tests.docs.tables prints what docs/reference/{page}.md should have"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_files_that_contributing_names_are_there() -> None:
    named = FILE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    names = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.name != "README.md"]
    assert [name for name in names if name not in index] == []


def test_every_document_of_the_platform_has_a_page_that_answers_it() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    entries = orjson.loads((ROOT / "fixtures" / "platform" / "vectors.json").read_bytes())
    documents = {name for entry in entries for name in (entry["document"], *entry.get("also_in", ()))}
    # The parts of one document stand there as from the first to the last.
    named = {re.sub(r"(?:.*)?(part)[0-9]\.md", r"\1", name) for name in documents}
    assert [name for name in sorted(named) if name not in index] == []


def test_every_state_of_a_session_says_what_a_client_shows() -> None:
    text = (ROOT / "docs" / "reference" / "session-states.md").read_text(encoding="utf-8")
    shown = text.partition("## What a client shows in each")[2]
    assert [state for state in SessionState if f"| `{state}` |" not in shown] == []


def test_the_keys_of_redis_are_described() -> None:
    text = (ROOT / "docs" / "reference" / "redis.md").read_text(encoding="utf-8")
    keys = Keys()
    shown = [
        keys.session("{tenant}", "{session}"),
        keys.sessions("{tenant}"),
        keys.task("{tenant}", "{task}"),
        keys.batch("{tenant}", "{batch}"),
        keys.batches("{tenant}"),
        keys.callbacks("{tenant}", "{task or batch}"),
        keys.dead_letters("{tenant}"),
        keys.tenant_config("{tenant}"),
        keys.usage("{tenant}", "{yyyymmdd}"),
        keys.ready,
        keys.due,
        keys.nodes,
        keys.audit,
        keys.revocations,
    ]
    assert [key for key in shown if f"`{key}`" not in text] == []


def test_every_command_is_described() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    context = click.Context(nooble_orch)
    missing = []
    for name in nooble_orch.list_commands(context):
        command = nooble_orch.get_command(context, name)
        row = next((line for line in text.split("\n") if line.startswith(f"| `nooble-orch {name}")), "")
        parts = list(command.commands) if isinstance(command, click.Group) else []
        missing += [f"{name} {part}" for part in parts or [""] if part not in row or not row]
    assert missing == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_command_that_is_shown_is_there(page: Path) -> None:
    context = click.Context(nooble_orch)
    wrong = []
    for name, part in COMMAND.findall(page.read_text(encoding="utf-8")):
        command = nooble_orch.get_command(context, name)
        parts = command.commands if isinstance(command, click.Group) else {part}
        if command is None or (part and part not in parts):
            wrong.append(f"{name} {part}")
    assert wrong == []
