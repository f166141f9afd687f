"""Files of exported tasks: `tenants drain --export` writes them, `tenants import` reads them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from cli.core.client import AdminApi
from cli.core.failures import CliFailure, Exit
from cli.core.output import note
from orchestrator.domain.tasks.transfers import DamagedFile, check_file, header_of

_PAGE: Final = 200
_CHUNK_BYTES: Final = 400_000
_CHUNK_ITEMS: Final = 200


def write_export(api: AdminApi, tenant_id: str, file: Path) -> int:
    """Export the parked tasks and the sessions of a tenant to a file; returns the number of tasks.

    Raises:
        CliFailure: the file can't be written.
    """
    tasks, cursor = 0, None
    with TemporaryFile() as body:
        while True:
            page = api.get(f"tenant.export/{tenant_id}", limit=_PAGE, cursor=cursor)
            for item in page["items"]:
                body.write(json.dumps(item, separators=(",", ":")).encode() + b"\n")
                tasks += item["kind"] == "task"
            cursor = page["next_cursor"]
            if not cursor:
                break
        header = header_of(tenant_id, _rewound(body), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        try:
            with file.open("wb") as whole:
                whole.write(header)
                whole.writelines(_rewound(body))
        except OSError as error:
            raise CliFailure(f"{file} can't be written: {error.strerror}.", "Choose another file.") from None
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


def read_import(api: AdminApi, tenant_id: str, file: Path) -> dict[str, Any]:
    """Import a file after checking all of it; returns the counts of imported and skipped items.

    Raises:
        CliFailure: the file is damaged, or of another tenant.
    """
    try:
        with file.open("rb") as lines:
            count = check_file(lines, tenant_id)
            lines.seek(0)
            next(lines)
            total = {"imported": 0, "skipped": 0, "sessions": 0}
            done = 0
            for chunk in _chunks(lines):
                answer = api.post(f"tenant.import/{tenant_id}", {"items": chunk})
                total = {name: number + answer[name] for name, number in total.items()}
                done += len(chunk)
                note(f"{done} of {count} items")
    except OSError as error:
        raise CliFailure(f"{file} can't be read: {error.strerror}.", "", Exit.USAGE) from None
    except DamagedFile as error:
        raise CliFailure(f"{file} can't be imported: {error}.", "Nothing was changed.", Exit.USAGE) from None
    return total


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
