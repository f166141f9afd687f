"""Files of exported tasks: `tenants drain --export` writes them, `tenants import` reads them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from cli.commands.tenancy.transfer_file import DamagedFile, check_file, header_of
from cli.core.client import AdminApi
from cli.core.confirm import counted
from cli.core.failures import CliFailure, Exit
from cli.core.output import note
from cli.system.files import written_whole

_PAGE: Final = 200
_CHUNK_BYTES: Final = 400_000
_CHUNK_ITEMS: Final = 200


def write_export(api: AdminApi, tenant_id: str, file: Path) -> int:
    """Export the parked tasks and the sessions of a tenant to a file; returns the number of tasks.

    Raises:
        CliFailure: the file can't be written.
    """
    # The header counts the items, so it can be written only when all of them are there.
    beside = None if file.exists() and not file.is_file() else file.resolve().parent
    try:
        with TemporaryFile(dir=beside) as body, written_whole(file) as whole:
            tasks = _write_items(api, tenant_id, body)
            whole.write(header_of(tenant_id, _rewound(body), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")))
            whole.writelines(_rewound(body))
    except OSError as error:
        again = "The same command with another file writes it there: the tenant stays drained."
        raise CliFailure(f"{file} can't be written: {error.strerror}.", again) from None
    return tasks


def _write_items(api: AdminApi, tenant_id: str, body: IO[bytes]) -> int:
    """Write the items of an export, a line each; returns how many of them are tasks."""
    tasks, cursor = 0, None
    while True:
        page = api.get(f"tenant.export/{tenant_id}", limit=_PAGE, cursor=cursor)
        for item in page["items"]:
            body.write(json.dumps(item, separators=(",", ":")).encode() + b"\n")
            tasks += item["kind"] == "task"
        cursor = page["next_cursor"]
        if not cursor:
            return tasks


def must_be_writable(file: Path) -> None:
    """Check that a file can be written, before a command changes anything whose result goes into it.

    Raises:
        CliFailure: it can't be written.
    """
    existed = file.exists()
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        message = f"{file} can't be written: {error.strerror}."
        raise CliFailure(message, "Nothing was changed.", Exit.USAGE) from None
    if not existed:
        file.unlink()


def checked_import(api: AdminApi, tenant_id: str, file: Path) -> str:
    """Check all of a file, and say how much it has.

    Raises:
        CliFailure: it is damaged, or of another tenant.
    """
    with _opened(file) as lines:
        count = check_file(lines, tenant_id)
        _check_items(api, tenant_id, file, _items_of(lines))
    return f"{counted(count, 'item')} of {file}"


def read_import(api: AdminApi, tenant_id: str, file: Path) -> dict[str, Any]:
    """Import a file after checking all of it; returns the counts of imported and skipped items.

    Raises:
        CliFailure: the file is damaged, or of another tenant.
    """
    with _opened(file) as lines:
        count = check_file(lines, tenant_id)
        # One request is taken as a whole or not at all; of several, the first is taken before the last is seen.
        if count > _CHUNK_ITEMS or file.stat().st_size > _CHUNK_BYTES:
            _check_items(api, tenant_id, file, _items_of(lines))
        total = {"imported": 0, "skipped": 0, "sessions": 0}
        done = 0
        for chunk in _chunks(_items_of(lines)):
            answer = api.post(f"tenant.import/{tenant_id}", {"items": chunk})
            total = {name: number + answer[name] for name, number in total.items()}
            done += len(chunk)
            note(f"{done} of {count} items")
    return total


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """Open a file of queued work; what is wrong with it is told in one sentence."""
    try:
        with file.open("rb") as lines:
            yield lines
    except OSError as error:
        raise CliFailure(f"{file} can't be read: {error.strerror}.", "", Exit.USAGE) from None
    except DamagedFile as error:
        raise CliFailure(f"{file} can't be imported: {error}.", "Nothing was changed.", Exit.USAGE) from None


def _items_of(lines: IO[bytes]) -> IO[bytes]:
    """Return a file at its first item."""
    lines.seek(0)
    next(lines)
    return lines


def _check_items(api: AdminApi, tenant_id: str, file: Path, lines: IO[bytes]) -> None:
    line = 2
    for chunk in _chunks(lines):
        try:
            api.post(f"tenant.import/{tenant_id}", {"items": chunk, "check_only": True})
        except CliFailure as failure:
            where = f"{file}, of the items from line {line} on"
            raise CliFailure(f"{where}: {failure.message}", "Nothing was changed.", failure.code) from None
        line += len(chunk)


def _rewound(body: IO[bytes]) -> IO[bytes]:
    body.seek(0)
    return body


def _chunks(lines: IO[bytes]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        if chunk and (size + len(line) > _CHUNK_BYTES or len(chunk) >= _CHUNK_ITEMS):
            yield chunk
            chunk, size = [], 0
        chunk.append(json.loads(line))
        size += len(line)
    if chunk:
        yield chunk
