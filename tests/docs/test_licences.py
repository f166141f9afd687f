"""The page of licences lists what the service needs, and nothing that binds those who use it."""

import re
from importlib.metadata import requires
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "licences.md"
ALLOWED = re.compile(r"((MIT|BSD|Apache-2\.0|BSD-2-Clause|BSD-3-Clause|MPL-2\.0)( License)?|AND|OR|[()]|\s)+")


def test_every_library_is_listed_with_a_licence_that_is_allowed() -> None:
    rows = dict(re.findall(r"^\| ([a-z][a-z0-9-]*) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    rows.pop("library", None)
    needed = {line for line in requires("nooble-orch") or [] if "extra ==" not in line}
    names = {re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", line)[0]).lower() for line in needed}
    assert set(rows) == names
    assert [row for row in rows.items() if not ALLOWED.fullmatch(row[1])] == []
