"""`dev.json`: what is in it is trusted no more than any other file."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict

from cli.core.devfile import FILE_NAME, DevStack, find_stack

STACK = DevStack(
    "http://127.0.0.1:1",
    "ws://127.0.0.1:1",
    "redis://127.0.0.1:2",
    "http://127.0.0.1:3",
    os.getpid(),
    {"acme": {"token": "t", "admin_token": "a"}},
    {"internal": "i", "admin": "a"},
)


def test_a_stack_that_runs_is_found(tmp_path: Path) -> None:
    STACK.write(tmp_path)
    assert find_stack(tmp_path) == STACK


@pytest.mark.parametrize(
    "changed",
    [
        *({"pid": odd} for odd in ("x", None, 0, -1, 2**40, 1.5, [1])),
        {"api_url": 1},
        {"tenants": []},
        {"tenants": {"acme": "t"}},
        {"tenants": {"acme": {"token": 5}}},
        {"api_keys": {"admin": None}},
        {"other": "field"},
    ],
)
def test_a_file_with_values_of_another_kind_names_no_stack(tmp_path: Path, changed: dict[str, Any]) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps(asdict(STACK) | changed), encoding="utf-8")
    assert find_stack(tmp_path) is None
