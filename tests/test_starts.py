"""What people type to start the service works, or says what to type."""

import gc
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from orchestrator.running import keep_what_is_there

ROOT: Final = Path(__file__).parents[1]
STARTS: Final = {
    "python main.py": ("main.py",),
    "python -m orchestrator": ("-m", "orchestrator"),
    "python orchestrator": ("orchestrator",),
}


def run(command: list[str], **environ: str) -> "subprocess.CompletedProcess[str]":
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    return subprocess.run(
        command, cwd=ROOT, env={**bare, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("typed", STARTS)
def test_a_start_reads_the_settings_and_says_which_are_missing(typed: str) -> None:
    ended = run([sys.executable, *STARTS[typed]])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "ORCH_JWT__SECRET" in ended.stderr
    assert "nooble-orch dev" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_garbage_is_collected_again_once_a_process_is_ready() -> None:
    before = gc.get_threshold()
    gc.disable()
    try:
        keep_what_is_there()
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
        gc.enable()


def test_a_module_that_is_no_start_says_what_to_type() -> None:
    ended = run([sys.executable, "orchestrator/main.py"])
    assert ended.returncode == 1
    assert "python -m orchestrator" in ended.stderr
    assert "Traceback" not in ended.stderr


DOCKER: Final = """#!/bin/sh
printf '%s\\n' "$*" >>"$DOCKER_LOG"
case "$*" in $DOCKER_FAILS) exit 1 ;; esac
"""


class Deployment:
    """A copy of the script in a folder of its own, with a `docker` that notes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "deploy.sh"
        self.script.write_text((ROOT / "deploy.sh").read_text())
        self.log = folder / "docker.log"
        self.log.touch()
        tools = folder / "tools"
        tools.mkdir()
        docker = tools / "docker"
        docker.write_text(DOCKER)
        docker.chmod(0o755)
        self.path = f"{tools}:/usr/bin:/bin"

    def run(self, *arguments: str, fails: str = "never", path: str | None = None) -> "subprocess.CompletedProcess[str]":
        return run(
            ["/bin/sh", str(self.script), *arguments],
            PATH=path or self.path,
            DOCKER_LOG=str(self.log),
            DOCKER_FAILS=fails,
        )

    @property
    def told(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_a_deployment_builds_starts_and_waits_until_it_is_healthy(deployment: Deployment) -> None:
    ended = deployment.run()
    assert (ended.returncode, deployment.told[-1]) == (0, "compose up --build --detach --wait")
    assert "http://localhost:8080/health" in ended.stderr


def test_its_secret_is_made_once_and_only_its_owner_reads_it(deployment: Deployment) -> None:
    deployment.run()
    secret = (deployment.folder / ".env").read_text()
    name, _, value = secret.strip().partition("=")
    assert (name, len(value)) == ("ORCH_JWT__SECRET", 64)
    assert stat.S_IMODE((deployment.folder / ".env").stat().st_mode) == 0o600
    deployment.run()
    assert (deployment.folder / ".env").read_text() == secret


def test_its_secret_stands_in_a_line_of_its_own(deployment: Deployment) -> None:
    (deployment.folder / ".env").write_text("ORCH_PUBLIC_URL=https://orchestrator.example.com")
    deployment.run()
    lines = (deployment.folder / ".env").read_text().splitlines()
    assert lines[0] == "ORCH_PUBLIC_URL=https://orchestrator.example.com"
    assert lines[1].startswith("ORCH_JWT__SECRET=")


def test_a_word_too_many_does_nothing(deployment: Deployment) -> None:
    assert (deployment.run("down", "-v").returncode, deployment.told) == (2, [])


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        ("compose version", "docker-compose-plugin"),
        ("info", "DOCKER_HOST"),
        ("compose up*", "./deploy.sh logs"),
    ],
)
def test_what_is_missing_is_named(deployment: Deployment, fails: str, says: str) -> None:
    ended = deployment.run(fails=fails)
    assert ended.returncode == 1
    assert says in ended.stderr


def test_a_machine_without_docker_is_told_where_it_is_had(deployment: Deployment) -> None:
    bare = deployment.folder / "bare"
    bare.mkdir()
    (bare / "dirname").symlink_to("/usr/bin/dirname")
    ended = deployment.run(path=str(bare))
    assert ended.returncode == 1
    assert "docs.docker.com" in ended.stderr


def test_an_unknown_word_shows_the_usage(deployment: Deployment) -> None:
    ended = deployment.run("sideways")
    assert (ended.returncode, deployment.told) == (2, [])
    assert "usage: ./deploy.sh" in ended.stderr
