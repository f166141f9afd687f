"""The text of a script: what it includes, as far as it needs it."""

import re
from collections.abc import Iterator

import pytest

from orchestrator.store.script import Script, all_scripts
from orchestrator.store.script_source import ROOT, read_source

NAMES = [script.name for script in all_scripts()]
_INCLUDE = re.compile(r"^--!include ([\w/]+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^(?:local function (\w+)\(|(\w+) = function\()", re.MULTILINE)


def code_of(source: str) -> str:
    """A text without its comments, and with nothing in its strings."""
    lines = (line for line in source.splitlines() if not line.lstrip().startswith(("--", "#!")))
    return re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"", "''", "\n".join(lines))


def included_by(name: str) -> Iterator[str]:
    """What a file includes, and what that includes."""
    for found in _INCLUDE.findall((ROOT / f"{name}.lua").read_text(encoding="utf-8")):
        yield f"lib/{found}"
        yield from included_by(f"lib/{found}")


def functions_of(source: str) -> set[str]:
    """The names of the functions that a text defines."""
    return {first or second for first, second in _FUNCTION.findall(source)}


@pytest.mark.parametrize("name", NAMES)
def test_a_script_defines_what_it_calls_of_its_includes_before_it_does(name: str) -> None:
    code = code_of(read_source(name))
    offered = set[str]().union(
        *(functions_of((ROOT / f"{one}.lua").read_text(encoding="utf-8")) for one in included_by(name))
    )
    for function in offered & set(re.findall(r"(?<![\w.])(\w+)", code)):
        defined = re.search(rf"\blocal (?:function )?{function}\b|\b{function} = ", code)
        assert defined, function
        first = re.search(rf"(?<![\w.]){function}\b", code)
        assert first
        assert defined.start() <= first.start(), function


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_no_function_that_it_does_not_need(name: str) -> None:
    code = code_of(read_source(name))
    unused = {one for one in functions_of(code) if len(re.findall(rf"\b{one}\b", code)) == 1}
    assert unused == set()


@pytest.mark.parametrize("name", NAMES)
def test_no_line_for_the_reader_of_a_file_is_sent_but_its_header(name: str) -> None:
    lines = read_source(name).splitlines()
    header = next(i for i, line in enumerate(lines) if not line.startswith(("-- ", "#!")))
    assert [line for line in lines[header:] if line.lstrip().startswith("--")] == []


def test_what_only_a_rare_case_needs_stands_in_the_function_for_it() -> None:
    source = Script("attempts/finish_task").source
    rare = source[source.index("local function after_this(") :]
    for function in ("next_item", "call_back", "stop_task", "moment_of"):
        assert f"\n  local function {function}(" in rare
        assert f"\nlocal function {function}(" not in source
    assert "\n  local function close(" not in source


def test_an_included_file_that_is_not_needed_is_left_out() -> None:
    assert "parked" not in Script("attempts/claim").source.replace("value('parked')", "")
