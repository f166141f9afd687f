"""Which versions of the libraries were tried: from the lower bound of `pyproject.toml` to the locked version."""

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

import structlog
from attrs import frozen
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT: Final = "nooble-orch"
LOCK: Final = Path(__file__).with_name("requirements.lock")
_log = structlog.get_logger("orchestrator.frameworks")


@frozen
class Library:
    """A library that is installed, and its tried versions."""

    name: str
    version: str
    lowest: str
    newest: str

    @property
    def tried(self) -> bool:
        """Whether the installed version lies in the tried range."""
        return Version(self.lowest) <= Version(self.version) <= Version(self.newest)


def untried() -> list[Library]:
    """Return the libraries that are installed in a version that was never tried."""
    return [library for library in _libraries() if not library.tried]


def report_untried() -> None:
    """Log a warning for each of them."""
    for library in untried():
        _log.warning(
            "library.untried", library=library.name, version=library.version, tried=f"{library.lowest}-{library.newest}"
        )


def locked() -> Mapping[str, str]:
    """Return the versions of the lock file, by name."""
    pins = (line.split()[0].partition("==") for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {canonicalize_name(name): pinned for name, _, pinned in pins}


def lowest(requirement: Requirement) -> str | None:
    """Return the lower bound of a requirement."""
    return next((bound.version for bound in requirement.specifier if bound.operator == ">="), None)


def _libraries() -> Iterator[Library]:
    """Yield the direct dependencies; none where the service runs without having been installed."""
    try:
        lines = requires(PROJECT) or []
    except PackageNotFoundError:
        return
    newest = locked()
    for requirement in map(Requirement, lines):
        bound, name = lowest(requirement), canonicalize_name(requirement.name)
        if bound is not None and name in newest and (requirement.marker is None or requirement.marker.evaluate()):
            yield Library(name, version(name), bound, newest[name])
