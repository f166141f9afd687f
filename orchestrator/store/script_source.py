"""The text of a script as it is sent: its file with what it includes, without what of that it does not use.

A line `--!include folder/name` stands for `scripts/lib/folder/name.lua`, the first time it is there. Redis runs a
script from its top each time, and makes every function and every value of an included file again, needed or not. What
is not mentioned by the script, or by something that it needs, is left out: local functions, and values that no call
makes. The layout tells what belongs together: a line that is not indented, the indented lines below it, and the line
that ends it.

A function with a line `--!rare`, or with an include of its own, is for rare cases: what is needed there alone stands in
it, and costs nothing until it is called.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import takewhile
from typing import Final

from attrs import field, frozen

ROOT: Final = files("orchestrator.store") / "scripts"
_INCLUDE: Final = re.compile(r"--!include ([\w/]+)")
_RARE: Final = "--!rare"
_FUNCTION: Final = re.compile(r"(?:local function (\w+)\(|(\w+) = function\()")
_VALUES: Final = re.compile(r"local (\w+(?:, \w+)*)(?: = [^(]*)?")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_TEXT: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_GOES_ON: Final = re.compile(r"\s|(?:end|else|elseif|until)\b|[})]")
_CLOSED: Final = re.compile(r"\bend\)?$")


@frozen(eq=False)
class _Part:
    """A function, values with their names, or another statement, which defines nothing.

    Args:
        text: what it is.
        includes: what a function includes.
        is_rare: whether it is a function for rare cases.
    """

    text: str
    includes: tuple[str, ...] = ()
    is_rare: bool = False
    defines: frozenset[str] = field(init=False)
    uses: frozenset[str] = field(init=False)

    @defines.default
    def _names(self) -> frozenset[str]:
        if function := _FUNCTION.match(self.text):
            return frozenset({function[1] or function[2]})
        values = _VALUES.fullmatch(self.text)
        return frozenset(values[1].split(", ") if values else ())

    @uses.default
    def _words(self) -> frozenset[str]:
        return frozenset(_WORD.findall(_TEXT.sub("", self.text)))


@cache
def read_source(name: str) -> str:
    """Return the text of a script.

    Args:
        name: of its folder and file, without `.lua`: `attempts/claim`.
    """
    header = takewhile(lambda line: line.startswith(("-- ", "#!")), _lines_of(name))
    outer: list[_Part] = []
    for_rare: list[_Part] = []
    _collect(name, set(), outer, for_rare)
    return "\n".join([*header, *_Needs(outer, [*outer, *for_rare]).texts()]) + "\n"


def _lines_of(name: str) -> list[str]:
    return (ROOT / f"{name}.lua").read_text(encoding="utf-8").splitlines()


def _collect(name: str, included: set[str], outer: list[_Part], for_rare: list[_Part]) -> None:
    """Collect the parts of a file and of what it includes, each file once; `for_rare` gets what functions include."""

    def include(one: str, parts: list[_Part]) -> None:
        if one not in included:
            included.add(one)
            _collect(f"lib/{one}", included, parts, for_rare)

    for item in _items_of(name):
        if isinstance(item, str):
            include(item, outer)
        else:
            outer.append(item)
            for one in item.includes:
                include(one, for_rare)


@cache
def _items_of(name: str) -> list[_Part | str]:
    """Return what a file consists of: parts without their comments, and names of files where these are included."""
    items: list[_Part | str] = []
    lines: list[str] = []
    includes: list[str] = []
    rare = False

    def close() -> None:
        nonlocal rare
        if lines:
            items.append(_Part("\n".join(lines), tuple(includes), rare or bool(includes)))
        lines.clear()
        includes.clear()
        rare = False

    for line in _lines_of(name):
        if include := _INCLUDE.fullmatch(line):
            if lines and _FUNCTION.match(lines[0]) and lines[-1] != "end" and not _CLOSED.search(lines[0]):
                includes.append(include[1])
            else:
                close()
                items.append(include[1])
        elif line == _RARE:
            rare = True
        elif line.strip() and not line.startswith("#!") and not line.lstrip().startswith("--"):
            if not _GOES_ON.match(line):
                close()
            lines.append(line)
    close()
    return items


@frozen
class _Needs:
    """What of all parts a script needs.

    Args:
        outer: those outside of functions for rare cases.
        parts: all of them, in their order.
    """

    outer: list[_Part]
    parts: list[_Part]
    _defining: dict[str, list[_Part]] = field(init=False)

    @_defining.default
    def _by_name(self) -> dict[str, list[_Part]]:
        defining = defaultdict(list)
        for part in self.parts:
            for name in part.defines:
                defining[name].append(part)
        return defining

    def texts(self) -> Iterator[str]:
        """Yield the text of what is needed, in its order."""
        needed = self._needed_by([part for part in self.outer if not part.defines])
        return self._texts_of(needed, needed)

    def _texts_of(self, some: set[_Part], around: set[_Part]) -> Iterator[str]:
        for part in self.parts:
            if part in some:
                yield self._with_own(part, around) if part.is_rare else part.text

    def _needed_by(self, users: list[_Part]) -> set[_Part]:
        """Return parts and all that they need; what a function for rare cases needs counts only for itself."""
        needed: set[_Part] = set()
        waiting = users.copy()
        while waiting:
            part = waiting.pop()
            if part not in needed:
                needed.add(part)
                if part in users or not part.is_rare:
                    waiting += [one for name in part.uses for one in self._defining.get(name, ())]
        return needed

    def _with_own(self, rare: _Part, around: set[_Part]) -> str:
        """Return a function for rare cases with what is needed there, and is not `around`, at its top."""
        own = self._needed_by([rare]) - around
        head, *body = rare.text.splitlines()
        lines = (f"  {line}" for text in self._texts_of(own, around | own) for line in text.splitlines())
        return "\n".join([head, *lines, *body])
