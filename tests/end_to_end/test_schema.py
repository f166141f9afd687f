"""The OpenAPI document and the service agree: requests made from it, valid and not, are answered as it says."""

import os
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import trio

from orchestrator.models.common.principal import Role
from tests.end_to_end.stack import open_stack

SEED: Final = int(os.environ.get("SCHEMA_SEED", "20260101"))
EXAMPLES: Final = int(os.environ.get("SCHEMA_EXAMPLES", "1"))
SECONDS: Final = float(os.environ.get("SCHEMA_SECONDS", "240"))
TENANT: Final = "0"
"""What the generator writes first where it needs an id: bodies that name their tenant name the right one."""
KEY: Final = "admin-key"
_WITH_HEADERS: Final = frozenset({"session.list", "session.create"})
"""All routes read headers by the same code: those of two are enough."""
_OPEN_TENANT: Final = "globex"
"""Whose state, limits and tokens the requests may change."""
_HOOKS: Final = '''
import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """HTTP lets a request have headers that nobody knows."""
    return "x-schemathesis-unknown-property" not in (case.headers or {})
'''
_CONFIG: Final = """
hooks = "{hooks}"
continue-on-failure = true
# One: CPython 3.11 can't parse source in two threads at once, which the generator does.
workers = 1
seed = {seed}

[parameters]
"path.tenant_id" = "{tenant}"

[generation]
max-examples = {examples}
database = "none"

[phases.examples]
enabled = false

[phases.coverage]
unexpected-methods = ["PATCH"]

[phases.stateful]
enabled = false

# What is well-formed may still be refused for what it means: there is no such thing, or it does not fit the state.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 403, 404, 409, 410, 422]

[checks.negative_data_rejection]
expected-statuses = ["4xx"]

[[operations]]
include-name = "POST /internal/v1/token.revoke"
headers = {{ X-Tenant-ID = "{tenant}" }}
"""


def narrowed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the headers of most operations, and what operators share with users: the same handlers."""
    paths = {
        path: {method: _without_headers(operation) for method, operation in operations.items()}
        for path, operations in document["paths"].items()
        if path.replace("/internal/v1/", "/api/v1/") not in document["paths"] or path.startswith("/api/v1/")
    }
    return {**document, "paths": paths}


def _without_headers(operation: dict[str, Any]) -> dict[str, Any]:
    if operation["operationId"] in _WITH_HEADERS:
        return operation
    return {**operation, "parameters": [one for one in operation.get("parameters", ()) if "$ref" not in one]}


async def test_every_answer_is_one_that_the_document_knows_and_none_is_a_fault_of_the_service(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        stack.environ["ORCH_API_KEYS"] += f",operator:admin:{sha256(KEY.encode()).hexdigest()}"
        unlimited = {"rate_tenant": "1000000", "rate_user": "1000000", "rate_admin": "1000000"}
        await stack.start(rate_address="0", auth_failures="0", **unlimited)
        async with httpx.AsyncClient() as client:
            document = (await client.get(f"{stack.node.url}/openapi.json")).json()
        (tmp_path / "openapi.json").write_bytes(orjson.dumps(narrowed(document)))
        (tmp_path / "hooks.py").write_text(_HOOKS, encoding="utf-8")
        config = _CONFIG.format(hooks=tmp_path / "hooks.py", seed=SEED, tenant=_OPEN_TENANT, examples=EXAMPLES)
        (tmp_path / "schemathesis.toml").write_text(config, encoding="utf-8")
        headers = {
            "Authorization": f"Bearer {stack.token(TENANT, role=Role.ADMIN)}",
            "X-API-Key": KEY,
            "X-Tenant-ID": TENANT,
        }
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            f"--config-file={tmp_path / 'schemathesis.toml'}",
            "run",
            str(tmp_path / "openapi.json"),
            f"--url={stack.node.url}",
            *(f"--header={name}: {value}" for name, value in headers.items()),
        ]
        with trio.fail_after(SECONDS):
            ended = await trio.run_process(
                command, check=False, capture_stdout=True, stderr=subprocess.STDOUT, cwd=tmp_path
            )
        assert ended.returncode == 0, ended.stdout.decode(errors="replace")
        async with stack.client() as client:
            assert (await client.get("/health/ready")).status_code == 200
