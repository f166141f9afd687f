"""The how-to pages do what they say: their commands are run, in their order, against a development stack."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ROOT / "docs" / "how-to"
SET_UP: Final = "try-these-pages"
BLOCK: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS: Final = 90


def commands(page: str) -> str:
    return "".join(BLOCK.findall((PAGES / f"{page}.md").read_text("utf-8")))


RUN: Final = [page.stem for page in sorted(PAGES.glob("*.md")) if page.stem != SET_UP and commands(page.stem)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a development stack runs, as in a checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "bin").mkdir()
    command = folder / "bin" / "nooble-orch"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m cli "$@"\n')
    command.chmod(0o755)
    stack = subprocess.Popen(
        [str(command), "dev", "--no-chat", "--port", "0"],
        cwd=folder,
        env=environ(folder),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert stack.stdout is not None
        assert any(line.startswith("ready ") for line in stack.stdout)
        yield folder
    finally:
        stack.terminate()
        stack.communicate(timeout=SECONDS)


def environ(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCH_", "OPENAI_"))}
    return {**kept, "PATH": f"{folder / 'bin'}:{kept['PATH']}", "HOME": str(folder)}


def test_most_pages_are_run() -> None:
    assert len(RUN) >= 12


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_work_as_they_stand(place: Path, page: str) -> None:
    script = f"set -euo pipefail\n{commands(SET_UP)}\n{commands(page)}"
    ended = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=place,
        env=environ(place),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"


def test_every_variable_of_a_page_is_set_there_or_by_the_page_that_sets_up() -> None:
    known = set(re.findall(r"\b([A-Z_]+)=", commands(SET_UP)))
    unknown = {}
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text("utf-8")
        missing = set(re.findall(r"\$([A-Z_]+)\b", text)) - set(re.findall(r"\b([A-Z_]+)=", text)) - known
        if missing:
            unknown[page.stem] = missing
    assert unknown == {}
