"""The pictures of the README: `python -m tests.docs.pictures` makes them anew, in docs/images.

A recording of `nooble-orch dev` and a picture of `nooble-orch top` are drawn from what a terminal shows, the console is
photographed in a headless Chromium. Needs the extra `pictures`, and Chromium.
"""

import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from itertools import groupby, pairwise
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx
import orjson
import pyte
from attrs import define, field, frozen
from playwright.sync_api import sync_playwright

from tests.support.browser import find_chromium

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
COLUMNS, ROWS = 96, 26
_PATIENCE: Final = 60.0
_KEY_SECONDS: Final = 0.035
_FRAME_SECONDS: Final = 0.12
_LONGEST_SECONDS: Final = 1.5
"""A screen that stays longer is shown for so long only."""
_SIZE, _LINE = 8.43, 18
_COLOURS: Final = {
    "default": "#d8dee9", "black": "#4c566a", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341",
    "blue": "#79c0ff", "magenta": "#d2a8ff", "cyan": "#76e3ea", "white": "#f0f6fc",
}  # fmt: skip

Line = tuple[tuple[str, str, bool], ...]
"""Pieces of one colour each: text, colour, whether it is bold."""


@frozen
class Frame:
    """What the terminal showed, and since when."""

    at: float
    lines: tuple[Line, ...]


@define
class Recorder:
    """A program in a terminal, and what it shows."""

    master: int
    screen: pyte.Screen = field(factory=lambda: pyte.Screen(COLUMNS, ROWS))
    frames: list[Frame] = field(factory=list)
    _last: float = 0.0
    _stream: pyte.ByteStream = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    def see(self, text: str) -> None:
        """Let the program go on until `text` is on the screen."""
        self._run(_PATIENCE, lambda: any(text in line for line in self.screen.display))

    def rest(self, seconds: float) -> None:
        """Let it go on for a while."""
        self._run(seconds, lambda: False)

    def type(self, text: str) -> None:
        """Type a text, a key after the other, and Enter."""
        for key in f"{text}\r":
            os.write(self.master, key.encode())
            self.rest(_KEY_SECONDS)

    def _run(self, seconds: float, done: Callable[[], bool]) -> None:
        until = monotonic() + seconds
        while not done() and (left := until - monotonic()) > 0:
            if select.select([self.master], [], [], min(left, _FRAME_SECONDS))[0]:
                try:
                    self._stream.feed(os.read(self.master, 65_536))
                except OSError:
                    break
            self._take()
        self._take(last=True)

    def _take(self, *, last: bool = False) -> None:
        now = monotonic()
        if not last and now - self._last < _FRAME_SECONDS:
            return
        lines = tuple(_pieces(self.screen, row) for row in range(ROWS))
        if any(lines) and (not self.frames or lines != self.frames[-1].lines):
            self.frames.append(Frame(now, lines))
            self._last = now


def _pieces(screen: pyte.Screen, row: int) -> Line:
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    pieces = [
        ("".join(cell.data for cell in group), _colour(look[0]), look[1])
        for look, group in groupby(cells, key=lambda cell: (cell.fg, cell.bold))
    ]
    if pieces:
        pieces[-1] = (pieces[-1][0].rstrip(), *pieces[-1][1:])
    return tuple(piece for piece in pieces if piece[0])


def _colour(name: str) -> str:
    return _COLOURS.get(name.removeprefix("bright"), f"#{name}" if len(name) == 6 else _COLOURS["default"])


@contextmanager
def recorded(command: Sequence[str], environ: dict[str, str]) -> Iterator[Recorder]:
    """Run a program in a terminal of its own while the block runs."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(  # noqa: S606 # one of our own commands, in the child
            command[0],
            list(command),
            {**environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)},
        )
    _resize(master)
    try:
        yield Recorder(master)
    finally:
        os.kill(pid, signal.SIGTERM)
        os.close(master)
        os.waitpid(pid, 0)


def _resize(master: int) -> None:
    import fcntl  # noqa: PLC0415 # only where there are terminals
    import struct  # noqa: PLC0415 # see above
    import termios  # noqa: PLC0415 # see above

    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))


def draw(frames: Sequence[Frame], title: str) -> str:
    """Draw frames as an SVG that plays them over and over; a single one stands still."""
    lengths = [min(later.at - frame.at, _LONGEST_SECONDS) for frame, later in pairwise(frames)]
    lengths.append(3.0)
    whole, start, styles, groups = sum(lengths), 0.0, [], []
    for number, (frame, length) in enumerate(zip(frames, lengths, strict=True)):
        if len(frames) > 1:
            begin, end = start / whole * 100, (start + length) / whole * 100
            hide = "" if number == len(frames) - 1 else f"{end:.3f}%{{visibility:hidden}}"
            styles.append(f"@keyframes f{number}{{0%{{visibility:hidden}}{begin:.3f}%{{visibility:visible}}{hide}}}")
            styles.append(f".f{number}{{visibility:hidden;animation:f{number} {whole:.2f}s step-end infinite}}")
        groups.append(
            f'<g class="f{number}">{"".join(_draw_line(line, row) for row, line in enumerate(frame.lines))}</g>'
        )
        start += length
    width, height = round(COLUMNS * _SIZE) + 32, ROWS * _LINE + 56
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">'
        f"<style>text{{font:14px ui-monospace,Menlo,Consolas,monospace;white-space:pre}}{''.join(styles)}</style>"
        f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>'
        '<circle cx="20" cy="19" r="6" fill="#ff5f57"/><circle cx="40" cy="19" r="6" fill="#febc2e"/>'
        f'<circle cx="60" cy="19" r="6" fill="#28c840"/>{"".join(groups)}</svg>\n'
    )


def _draw_line(line: Line, row: int) -> str:
    place, drawn = 0, []
    for text, colour, bold in line:
        weight = ' font-weight="700"' if bold else ""
        if text.strip():
            drawn.append(
                f'<text x="{16 + place * _SIZE:.1f}" y="{50 + row * _LINE}" fill="{colour}"{weight} '
                f'textLength="{len(text) * _SIZE:.1f}">{escape(text)}</text>'
            )
        place += len(text)
    return "".join(drawn)


def record_dev(folder: Path, environ: dict[str, str]) -> None:
    """Record a chat in `nooble-orch dev`."""
    command = [_nooble_orch(), "dev", "--data-dir", str(folder / "dev"), "--port", "0"]
    with recorded(command, environ) as terminal:
        terminal.see("docs-guide>")
        terminal.rest(1)
        for question, answer in (
            ("How do I drain a tenant?", "Sources"),
            ("/agent calculator", "calculator>"),
            ("(3 + 4) * 6", "42"),
        ):
            terminal.type(question)
            terminal.see(answer)
            terminal.rest(1.5)
        (IMAGES / "dev.svg").write_text(draw(terminal.frames, "A chat in nooble-orch dev"))
        terminal.type("/quit")
        terminal.rest(3)


@contextmanager
def stack(folder: Path, environ: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Run a development stack while the block runs; gives what its `dev.json` says."""
    data = folder / "stack"
    command = [_nooble_orch(), "dev", "--data-dir", str(data), "--port", "0", "--no-chat"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"ready")
            yield orjson.loads((data / "dev.json").read_bytes())
        finally:
            process.terminate()


def work(known: dict[str, Any]) -> None:
    """Give the stack something to show: turns of two tenants, some that wait, some that failed."""
    said = {"docs-guide": "How do I drain a tenant?", "calculator": "12 * 7", "echo": "echo 400 words"}
    for tenant, agents in (("acme", ("docs-guide", "calculator", "echo")), ("globex", ("echo",))):
        token = known["tenants"][tenant]["token"]
        with httpx.Client(base_url=f"{known['api_url']}/api/v1/", headers={"Authorization": f"Bearer {token}"}) as api:
            for agent in agents * 4:
                created = api.post("session.create", json={"agent_id": agent}).raise_for_status()
                session = created.json()["data"]["session_id"]
                body = {"session_id": session, "content": said[agent], "mode": "async" if agent == "echo" else "wait"}
                api.post("chat.message", json=body, timeout=30).raise_for_status()


def record_top(folder: Path, known: dict[str, Any], environ: dict[str, str]) -> None:
    """Take a picture of `nooble-orch top`."""
    with recorded([_nooble_orch(), "top", "--data-dir", str(folder / "stack")], environ) as terminal:
        terminal.see("acme")
        work(known)
        terminal.rest(3)
        (IMAGES / "top.svg").write_text(draw(terminal.frames[-1:], "nooble-orch top"))


def photograph_console(known: dict[str, Any]) -> None:
    """Take pictures of the console, light and dark."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium())
        for scheme in ("light", "dark"):
            page = chromium.new_page(viewport={"width": 1180, "height": 760}, color_scheme=scheme)
            page.goto(f"{known['api_url']}/console")
            page.get_by_label("Token").fill(known["tenants"]["acme"]["admin_token"])
            page.get_by_label("API key").fill(known["api_keys"]["admin"])
            page.get_by_role("button", name="Sign in").click()
            page.get_by_text("Busiest tenants").wait_for()
            page.wait_for_timeout(7000)
            page.screenshot(path=IMAGES / f"console-{scheme}.png")
            page.goto(f"{known['api_url']}/console#/chat")
            page.get_by_text("connected").wait_for()
            page.get_by_label("Message", exact=True).fill("How do I drain a tenant?")
            page.keyboard.press("Enter")
            page.get_by_text("sources").click()
            page.screenshot(path=IMAGES / f"console-chat-{scheme}.png")
        chromium.close()


def _nooble_orch() -> str:
    return str(Path(sys.executable).with_name("nooble-orch"))


def main() -> None:
    """Make every picture."""
    IMAGES.mkdir(exist_ok=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    with tempfile.TemporaryDirectory() as folder:
        record_dev(Path(folder), environ)
        with stack(Path(folder), environ) as known:
            work(known)
            record_top(Path(folder), known, environ)
            photograph_console(known)


if __name__ == "__main__":
    main()
