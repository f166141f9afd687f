"""The file that a tenant's queued work travels in: a header, then an item a line, all of it JSON.

What an item has to be, the service says; here it is looked whether the file is whole, and as it was written.
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

FORMAT: Final = "nooble-orch-tenant"
VERSION: Final = 1
_FIELDS: Final = {"format": str, "version": int, "tenant_id": str, "count": int, "digest": str}


class DamagedFile(Exception):
    """A file that is none of this format, was cut off or changed, or is another tenant's; says what is wrong."""


def header_of(tenant_id: str, lines: Iterable[bytes], exported_at: str) -> bytes:
    """Return the first line of the file with these items."""
    digest, count = sha256(), 0
    for line in lines:
        digest.update(line)
        count += 1
    header = {"format": FORMAT, "version": VERSION, "tenant_id": tenant_id, "count": count}
    header |= {"digest": f"sha256:{digest.hexdigest()}", "exported_at": exported_at}
    return json.dumps(header, separators=(",", ":")).encode() + b"\n"


def check_file(lines: Iterable[bytes], tenant_id: str) -> int:
    """Check a whole file; returns how many items it has.

    Args:
        lines: the file's, with their ends.
        tenant_id: whose work it must hold.

    Raises:
        DamagedFile
    """
    rest: Iterator[bytes] = iter(lines)
    header = _header(next(rest, b""), tenant_id)
    digest, count = sha256(), 0
    for number, line in enumerate(rest, start=2):
        digest.update(line)
        count += 1
        if count > header["count"]:
            break
        if not isinstance(_read(line), dict):
            raise DamagedFile(f"line {number}: is no JSON object")
    if count != header["count"]:
        found = "more" if count > header["count"] else str(count)
        raise DamagedFile(f"it has {found} items, and its header says {header['count']}")
    if f"sha256:{digest.hexdigest()}" != header["digest"]:
        raise DamagedFile("it was changed after it was written: its digest does not match")
    return count


def _header(line: bytes, tenant_id: str) -> dict[str, Any]:
    header = _read(line)
    if not isinstance(header, dict) or any(type(header.get(name)) is not kind for name, kind in _FIELDS.items()):
        raise DamagedFile("its first line is no header of an export")
    if header["format"] != FORMAT:
        raise DamagedFile(f"its format is '{header['format']}', not '{FORMAT}'")
    if header["version"] != VERSION:
        raise DamagedFile(f"its version is {header['version']}, and {VERSION} is read here")
    if header["tenant_id"] != tenant_id:
        raise DamagedFile(f"it holds the work of tenant {header['tenant_id']}, not of {tenant_id}")
    return header


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
