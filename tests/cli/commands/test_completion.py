"""The scripts of the completion by Tab: made for each shell, and read by those that are installed."""

import os
import shutil
from pathlib import Path

import pytest
import trio

from tests.cli.runs import run_cli

PARSES = {"bash": "-n", "zsh": "-n", "fish": "--no-execute"}
"""The option with which a shell reads a script and runs nothing."""


@pytest.mark.parametrize("shell", PARSES)
async def test_a_script_asks_the_command_by_the_variable_of_its_shell(tmp_path: Path, shell: str) -> None:
    shown = await run_cli(tmp_path, "completion", "show", shell)
    assert (shown.code, shown.err) == (0, "")
    assert f"_NOOBLE_ORCH_COMPLETE={shell}_complete" in shown.out
    assert {"bash": "complete -o", "zsh": "#compdef nooble-orch", "fish": "complete --no-files"}[shell] in shown.out


@pytest.mark.parametrize("shell", [shell for shell in PARSES if shutil.which(shell)])
async def test_a_shell_reads_its_script(tmp_path: Path, shell: str) -> None:
    script = tmp_path / "script"
    script.write_text((await run_cli(tmp_path, "completion", "show", shell)).out, encoding="utf-8")
    with trio.fail_after(20):
        done = await trio.run_process([shell, PARSES[shell], str(script)], capture_stderr=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
async def test_a_zsh_without_a_configuration_of_its_own_takes_the_installed_script(tmp_path: Path) -> None:
    (tmp_path / "dot").mkdir()
    environ = {"HOME": str(tmp_path), "ZDOTDIR": str(tmp_path / "dot"), "PATH": os.environ["PATH"]}
    assert (await run_cli(tmp_path, "completion", "install", "zsh", ZDOTDIR=environ["ZDOTDIR"])).code == 0
    with trio.fail_after(20):
        shell = ["zsh", "-i", "-c", "print $_comps[nooble-orch]"]
        done = await trio.run_process(shell, capture_stdout=True, capture_stderr=True, env=environ)
    assert (done.stdout, done.stderr) == (b"_nooble_orch_completion\n", b"")


async def test_an_installation_is_where_the_shell_looks_and_replaces_the_one_before(tmp_path: Path) -> None:
    (tmp_path / ".zshrc").write_text("export MINE=1\n", encoding="utf-8")
    for _ in range(2):
        assert (await run_cli(tmp_path, "completion", "install", SHELL="/bin/zsh")).code == 0
        assert (await run_cli(tmp_path, "completion", "install", "fish")).code == 0
    zshrc = (tmp_path / ".zshrc").read_text(encoding="utf-8")
    assert zshrc.startswith("export MINE=1\n")
    assert zshrc.count("#compdef nooble-orch") == 1
    fish = tmp_path / ".config" / "fish" / "completions" / "nooble-orch.fish"
    assert fish.read_text(encoding="utf-8").count("function _nooble_orch_completion") == 1
    unknown = await run_cli(tmp_path, "completion", "install", SHELL="/bin/tcsh")
    assert (unknown.code, "'tcsh'" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("zsh", {"COMP_WORDS": "nooble-orch batche", "COMP_CWORD": "1"}),
        ("fish", {"COMP_WORDS": "nooble-orch", "COMP_CWORD": "batche"}),
    ],
)
async def test_every_shell_is_offered_commands(tmp_path: Path, shell: str, words: dict[str, str]) -> None:
    ended = await run_cli(tmp_path, **words, _NOOBLE_ORCH_COMPLETE=f"{shell}_complete")
    assert "batches" in ended.out
    assert "tasks" not in ended.out
