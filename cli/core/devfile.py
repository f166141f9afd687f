"""`dev.json`: the addresses and credentials of a running development stack, for other commands."""

import json
import os
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen
from attrs.validators import deep_mapping, gt, instance_of, lt

from cli.system.files import naming

DATA_DIR: Final = Path(".nooble")
FILE_NAME: Final = "dev.json"
SECRET_NAME: Final = "jwt-secret"  # noqa: S105  # the name of a file
_TEXT: Final = instance_of(str)
_MAPPING: Final = instance_of(dict)
_TEXTS: Final = deep_mapping(_TEXT, _TEXT, _MAPPING)


@frozen
class DevStack:
    """A running development stack: the fields of `dev.json`."""

    api_url: str = field(validator=_TEXT)
    ws_url: str = field(validator=_TEXT)
    redis_url: str = field(validator=_TEXT)
    sandbox_url: str = field(validator=_TEXT)
    pid: int = field(validator=[instance_of(int), gt(0), lt(2**31)])
    tenants: dict[str, dict[str, str]] = field(validator=deep_mapping(_TEXT, _TEXTS, _MAPPING))
    """By tenant: `token` and `admin_token`."""
    api_keys: dict[str, str] = field(validator=_TEXTS)
    """`internal` and `admin`."""

    def write(self, data_dir: Path) -> None:
        """Write the file atomically, readable by its owner alone."""
        draft = data_dir / f"{FILE_NAME}.new"
        write_private(draft, json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(data_dir / FILE_NAME)


def write_private(path: Path, text: str) -> None:
    """Write a file that is readable by its owner alone from the start."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with naming(path), os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def home() -> Path:
    """Return the home directory of the user; the root where there is none, as for a number without a name."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def find_data_dir(start: Path | None = None) -> Path | None:
    """Return the nearest `.nooble` directory, in `start` or above it; default: the working directory."""
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        return None  # the working directory was deleted
    return next((place / DATA_DIR for place in (here, *here.parents) if (place / DATA_DIR).is_dir()), None)


def find_stack(data_dir: Path | None = None) -> DevStack | None:
    """Return the stack that runs in a data directory, by default the nearest `.nooble`; None where none runs."""
    directory = data_dir or find_data_dir()
    if directory is None:
        return None
    try:
        fields: dict[str, Any] = json.loads((directory / FILE_NAME).read_text(encoding="utf-8"))
        stack = DevStack(**fields)
    except (OSError, ValueError, TypeError):
        return None  # no stack, or one of another version
    return stack if _is_alive(stack.pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True
