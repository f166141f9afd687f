"""The code keeps to the rules of its structure that `lint-imports` and ruff do not check."""

import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import grimp
import pytest

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("orchestrator", "cli")
MODULES_IN_FOLDER: Final = 15
LINES_OF_MODULE: Final = 350

OWN_TESTS: Final = {
    "architecture": "the structure of the code",
    "benchmarks": "what benchmarks have in common",
    "docs": "documentation and code agree",
    "end_to_end": "the whole service, in processes",
    "isolation": "what belongs to others is not there",
    "platform": "the documented shapes, over a running process",
    "support": "what other tests share",
}
"""Folders of tests that mirror none of the code, each with what it is about."""

_SUPPRESSION: Final = re.compile(r"# *(?:noqa|type: *ignore)", re.IGNORECASE)
_WITH_REASON: Final = re.compile(
    r"(?:# *(?:noqa: *[A-Z]+[0-9]+(?:, *[A-Z]+[0-9]+)*|type: *ignore\[[a-z, -]+\]) *)+(?:#|-) *(?P<reason>\w.*)"
)
_ELSEWHERE: Final = re.compile(r"\bas (?:said|above|the line above)\b")


def test_no_module_imports_itself_by_way_of_others() -> None:
    # `lint-imports` compares siblings; a package and a module in it that import each other are seen only here.
    graph = grimp.build_graph(*PRODUCT, exclude_type_checking_imports=False, cache_dir=None)
    imports = TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    try:
        imports.prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_folders_hold_at_most_fifteen_modules() -> None:
    sizes = Counter(path.parent.relative_to(ROOT).as_posix() for path in _modules() if path.name != "__init__.py")
    assert {folder: size for folder, size in sizes.items() if size > MODULES_IN_FOLDER} == {}


def test_modules_have_at_most_350_lines() -> None:
    assert [path for path in _modules() if _lines(path) > LINES_OF_MODULE] == []


def test_the_assembly_has_at_most_200_lines() -> None:
    assert _lines(ROOT / "orchestrator" / "assembly.py") <= 200


def test_folders_of_tests_mirror_the_code() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    places = {
        folder: ROOT / folder if folder.parts[:1] == ("cli",) else ROOT / "orchestrator" / folder for folder in folders
    }
    assert {folder.as_posix() for folder, place in places.items() if not place.is_dir()} == set(OWN_TESTS)


def test_every_exception_to_lint_and_types_says_why_on_its_line() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{line}: {comment}"
        for folder in (*PRODUCT, "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, comment in _suppressions(path)
        if not _says_why(comment)
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("comment", "says_why"),
    [
        ("# noqa: S101 - asked for in run_child()", True),
        ("# type: ignore[attr-defined] # noqa: SLF001 # the documented way", True),
        ("# noqa: S101", False),
        ("# noqa: S101 - as above", False),
        ("# type: ignore # enough of it", False),
    ],
)
def test_a_reason_follows_the_codes_and_does_not_refer_to_another_line(comment: str, *, says_why: bool) -> None:
    assert _says_why(comment) is says_why


def _modules() -> Iterator[Path]:
    for folder in PRODUCT:
        for suffix in ("py", "lua"):
            yield from (ROOT / folder).rglob(f"*.{suffix}")


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _suppressions(path: Path) -> Iterator[tuple[int, str]]:
    if not _SUPPRESSION.search(path.read_text(encoding="utf-8")):
        return
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT and (found := _SUPPRESSION.search(token.string)):
                yield token.start[0], token.string[found.start() :]


def _says_why(comment: str) -> bool:
    found = _WITH_REASON.fullmatch(comment)
    return found is not None and not _ELSEWHERE.search(found["reason"])
