"""The tried versions of libraries, and what is said of others."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from structlog.testing import capture_logs

from orchestrator.frameworks import versions

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"]]


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_every_direct_dependency_has_a_lower_bound_and_a_locked_version_within_its_bounds(
    requirement: Requirement,
) -> None:
    assert versions.lowest(requirement) is not None
    assert versions.locked()[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_lock_file_holds_every_version_by_hashes_and_names_no_host() -> None:
    text = versions.LOCK.read_text(encoding="utf-8")
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z])", text) if "==" in entry)
    assert "://" not in text
    assert "--index-url" not in text


def test_the_image_is_made_of_the_lock_file() -> None:
    path = versions.LOCK.relative_to(ROOT).as_posix()
    assert f"--require-hashes -r {path}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_what_is_used_beside_what_is_documented_has_an_upper_bound() -> None:
    page = (ROOT / "docs" / "decisions" / "0009-inside-libraries.md").read_text(encoding="utf-8")
    bounded = {one.name for one in DIRECT if any(bound.operator == "<" for bound in one.specifier)}
    named = {name for row in re.findall(r"^\| ([a-z][a-z, -]+) \|", page, re.MULTILINE) for name in row.split(", ")}
    assert bounded == named - {"library"}


def test_the_lowest_versions_are_constraints_of_pip() -> None:
    script = [sys.executable, str(ROOT / ".ci" / "lowest.py"), "test"]
    printed = subprocess.run(script, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    assert f"quart=={versions.lowest(next(one for one in DIRECT if one.name == 'quart'))}" in printed
    assert any(line.startswith("pytest==") for line in printed)
    assert not any(line.startswith(PROJECT["name"]) for line in printed)


def test_a_library_that_was_never_tried_is_told_of_once_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version
    monkeypatch.setattr(versions, "version", lambda name: "99.0" if name == "quart" else installed(name))
    [library] = [one for one in versions.untried() if one.name == "quart"]
    with capture_logs() as logs:
        versions.report_untried()
    [told] = [one for one in logs if one["library"] == "quart"]
    assert told == {
        "event": "library.untried", "log_level": "warning", "library": "quart", "version": "99.0",
        "tried": f"{library.lowest}-{library.newest}",
    }  # fmt: skip


def test_a_version_below_the_lower_bound_was_not_tried_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "version", lambda _: "0.1")
    assert {one.name for one in versions.untried()} == {canonicalize_name(one.name) for one in DIRECT}


def test_a_service_that_was_not_installed_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "requires", missing)
    assert versions.untried() == []
