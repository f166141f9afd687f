"""Files of a tenant's queued work: whole, unchanged, and of the tenant."""

import json
from typing import Any

import pytest

from cli.commands.tenancy.transfer_file import DamagedFile, check_file, header_of


def lines_of_file(count: int = 2) -> list[bytes]:
    fields = {"state": "ACTIVE", "user_id": "ann", "agent_id": "echo"}
    lines = [json.dumps({"kind": "session", "id": "s1", "fields": fields}).encode() + b"\n"] * count
    return [header_of("acme", lines, "2026-01-01T00:00:00.000Z"), *lines]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda lines: [], "no header"),
        (lambda lines: [b"PK\x03\x04"], "no header"),
        (lambda lines: lines[:-1], "it has 1 items, and its header says 2"),
        (lambda lines: [*lines, lines[-1]], "it has more items"),
        (lambda lines: [lines[0], lines[1], lines[2].replace(b"ann", b"bob")], "changed after it was written"),
        (lambda lines: [lines[0], lines[1], b"{torn\n"], "line 3"),
        (lambda lines: [lines[0], lines[1], b"[1]\n"], "line 3"),
        (lambda lines: [b"[]\n", *lines[1:]], "no header"),
        (lambda lines: [lines[0].replace(b":2,", b":true,"), *lines[1:]], "no header"),
        (lambda lines: [lines[0].replace(b"acme", b"globex"), *lines[1:]], "the work of tenant globex"),
        (lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]], "its version is 2"),
        (lambda lines: [lines[0].replace(b"nooble", b"other"), *lines[1:]], "its format is"),
    ],
)
def test_a_damaged_or_foreign_file_is_told_in_one_sentence(spoil: Any, told: str) -> None:
    lines = lines_of_file()
    assert check_file(lines, "acme") == 2
    with pytest.raises(DamagedFile, match=told):
        check_file(spoil(lines), "acme")
