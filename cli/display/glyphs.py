"""Characters of the output: streams that can't carry a character get another one in its place, and no error."""

import codecs
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Final

_HANDLER: Final = "nooble-orch.glyphs"
_ASCII: Final = {
    "…": "...", "—": "-", "\u2013": "-", "·": "-", "→": "->", "⚙": "*", "█": "#", "░": ".", "◆": "*", "⏎": " / ",
    "▸": ">", "“": '"', "”": '"', "\u2018": "'", "\u2019": "'", "•": "*", "\u00d7": "x", "✓": "+", "✗": "x",
    "━": "-",
    "╸": "-", "╺": "-", "─": "-", "│": "|", "┃": "|", "▌": "|", "▁": "_", "▂": ".", "▃": "-", "▄": "-", "▅": "=",
    "▆": "=", "▇": "#",
}  # fmt: skip
"""What stands for a character that an encoding lacks; `?` stands for all others."""
# Control characters that a terminal obeys: C0 except tab and newline, DEL, C1.
_CONTROLS: Final = {code: None for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def printable(text: str) -> str:
    """Remove control characters: text of a service or an agent must not control the terminal."""
    return text.translate(_CONTROLS)


def prepare_streams() -> None:
    """Have the standard streams replace what their encodings lack, and read what is no text of theirs."""
    _open_closed()
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")


def _open_closed() -> None:
    """Open the standard streams that the caller has closed to nowhere, before a connection gets their descriptors."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # for the whole process


def is_unicode() -> bool:
    """Tell whether stdout carries every character."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") in {"utf8", "utf16", "utf32"}


def ellipsis() -> str:
    """Return the mark of a line that was cut, one cell wide."""
    return "…" if is_unicode() else "~"


def clean(argument: str) -> str:
    """Return an argument of the command line as text: bytes that are none come as surrogates, which nothing encodes."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_ASCII.get(character, "?") for character in missing), error.end
