"""The OpenAPI document and the service agree: requests made from it, valid and not, are answered as it says.

Of nearly ten thousand requests one in twelve is sent, always the same ones; `SCHEMA_SHARE=1` sends all, and
`SCHEMA_EXAMPLES=20` makes more of them.
"""

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
from tests.end_to_end.stack import Stack, open_stack

SEED: Final = int(os.environ.get("SCHEMA_SEED", "20260101"))
EXAMPLES: Final = int(os.environ.get("SCHEMA_EXAMPLES", "1"))
SEQUENCES: Final = int(os.environ.get("SCHEMA_SEQUENCES", "8"))
SHARE: Final = int(os.environ.get("SCHEMA_SHARE", "12"))
"""One of so many requests is sent."""
SECONDS: Final = float(os.environ.get("SCHEMA_SECONDS", "240"))
TENANT: Final = "0"
"""What the generator writes first where it needs an id: bodies that name their tenant name the right one."""
KEY: Final = "admin-key"
_WITH_HEADERS: Final = frozenset({"session.list", "session.create"})
"""All routes read headers by the same code: those of two are enough."""
_OPEN_TENANT: Final = "globex"
"""Whose state, limits and tokens the requests may change."""
_HOOKS: Final = '''
import zlib

import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """HTTP lets a request have headers that are not known here; of the others a share is sent, always the same."""
    if "x-schemathesis-unknown-property" in (case.headers or {}):
        return False
    if case.meta.phase.name.value != "coverage":
        return True
    parts = (case.method, case.path, case.path_parameters, case.query, case.body)
    return zlib.crc32(repr(parts).encode(errors="replace")) % {share} == 0
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

# Plain paths are other paths of routes that are tried under their own.
[[operations]]
include-path-regex = "^/api/(v1/)?(sessions|batch|workflows)(/|$)|^/internal/v1/debug/"
enabled = false

# There are no integrations yet: it says so (501), and does nothing else.
[[operations]]
include-name = "POST /api/v1/orchestrator/integrations/{{integration_id}}/invoke"

[operations.checks]
not_a_server_error.enabled = false
positive_data_acceptance.expected-statuses = [501]
"""

_FOLLOW_UPS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "session.create": (
        "session_id",
        (
            *("session.get", "session.update", "session.pause", "session.resume", "session.ticket", "agent.assign"),
            *("chat.history", "chat.summary", "session.close"),
        ),
    ),
    "batch.create": ("batch_id", ("batch.get", "batch.results", "batch.cancel")),
    "schedule.create": (
        "schedule_id",
        ("schedule.get", "schedule.update", "schedule.trigger", "schedule.delete"),
    ),
    "workflow.execute": (
        "task_id",
        (
            *("workflow.status", "workflow.results", "workflow.input", "workflow.cancel", "task.get", "task.why"),
            *("task.cancel", "task.replay", "callback.list"),
        ),
    ),
}
"""By the route that makes something: its id in the answer, and the routes that take it."""
_MADE_OF: Final[Mapping[str, Any]] = {
    "session.create": {"agent_id": "echo"},
    "batch.create": {"agent_id": "echo", "items": [{"content": "hi"}]},
    "schedule.create": {"cron": "0 0 1 1 *", "agent_id": "echo", "content": "hi"},
    "workflow.execute": {"workflow_id": "approval"},
}
"""Bodies that make something; made-up ones name agents that are not there."""
_STATEFUL: Final = """
continue-on-failure = true
workers = 1
seed = {seed}

[generation]
max-examples = {examples}
database = "none"

[phases.examples]
enabled = false

[phases.coverage]
enabled = false

[phases.fuzzing]
enabled = false

[phases.stateful]
enabled = true
max-steps = 8

[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.enabled = false
use_after_free.enabled = false
ensure_resource_availability.enabled = false
"""


def linked(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave only what makes something and what follows on it, joined by links."""
    named = {name for made, (_, follow_ups) in _FOLLOW_UPS.items() for name in (made, *follow_ups)}
    paths: dict[str, Any] = {}
    for path, operations in narrowed(document)["paths"].items():
        for method, operation in operations.items():
            if operation["operationId"] not in named or not path.startswith("/api/"):
                continue
            if operation["operationId"] in _MADE_OF:
                operation["requestBody"]["content"] = {
                    "application/json": {"schema": {"enum": [_MADE_OF[operation["operationId"]]]}}
                }
            field, follow_ups = _FOLLOW_UPS.get(operation["operationId"], ("", ()))
            for status, answer in operation["responses"].items():
                if status.startswith("2") and follow_ups:
                    answer["links"] = {
                        name: {"operationId": name, "parameters": {f"path.{field}": f"$response.body#/data/{field}"}}
                        for name in follow_ups
                    }
            paths.setdefault(path, {})[method] = operation
    assert {operation["operationId"] for operations in paths.values() for operation in operations.values()} == named
    return {**document, "paths": paths}


def narrowed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the headers of most operations, what operators share with users, and streams that have no end."""
    paths = {
        path: {method: _without_headers(operation) for method, operation in operations.items()}
        for path, operations in document["paths"].items()
        if path.replace("/internal/v1/", "/api/v1/") not in document["paths"] or path.startswith("/api/v1/")
        if not _lasts(operations)
    }
    return {**document, "paths": paths}


def _lasts(operations: Mapping[str, Any]) -> bool:
    """Tell whether what a path answers is nothing but a stream."""
    answers = operations.get("get", {}).get("responses", {}).get("200", {})
    return list(answers.get("content", ())) == ["text/event-stream"]


def _without_headers(operation: dict[str, Any]) -> dict[str, Any]:
    if operation["operationId"] in _WITH_HEADERS:
        return operation
    return {**operation, "parameters": [one for one in operation.get("parameters", ()) if "$ref" not in one]}


async def test_every_answer_is_one_that_the_document_knows_and_none_is_a_fault_of_the_service(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        stack.environ["ORCH_API_KEYS"] += f",operator:admin:{sha256(KEY.encode()).hexdigest()}"
        unlimited = {"rate_tenant": "1000000", "rate_user": "1000000", "rate_admin": "1000000"}
        await stack.start(rate_address="0", auth_failures="0", **unlimited)
        (tmp_path / "hooks.py").write_text(_HOOKS.replace("{share}", str(SHARE)), encoding="utf-8")
        config = _CONFIG.format(hooks=tmp_path / "hooks.py", seed=SEED, tenant=_OPEN_TENANT, examples=EXAMPLES)
        await generate(stack, tmp_path, narrowed(await described(stack)), config)


async def test_what_one_request_has_made_is_good_for_the_requests_that_follow_on_it(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start(rate_tenant="1000000", rate_user="1000000", rate_address="0")
        config = _STATEFUL.format(seed=SEED, examples=SEQUENCES)
        told = await generate(stack, tmp_path, linked(await described(stack)), config)
        assert int(told.partition("API Links:")[2].split()[0]) > 4, told


async def described(stack: Stack) -> Any:
    """Return the service's document."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{stack.node.url}/openapi.json")).json()


async def generate(stack: Stack, folder: Path, document: Mapping[str, Any], config: str) -> str:
    """Have requests made from a document, and every answer checked; returns what the generator has said."""
    (folder / "openapi.json").write_bytes(orjson.dumps(document))
    (folder / "schemathesis.toml").write_text(config, encoding="utf-8")
    headers = {
        "Authorization": f"Bearer {stack.token(TENANT, role=Role.ADMIN)}",
        "X-API-Key": KEY,
        "X-Tenant-ID": TENANT,
    }
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        f"--config-file={folder / 'schemathesis.toml'}",
        "run",
        str(folder / "openapi.json"),
        f"--url={stack.node.url}",
        *(f"--header={name}: {value}" for name, value in headers.items()),
    ]
    with trio.fail_after(SECONDS):
        ended = await trio.run_process(command, check=False, capture_stdout=True, stderr=subprocess.STDOUT, cwd=folder)
    told = ended.stdout.decode(errors="replace")
    assert ended.returncode == 0, told
    async with stack.client() as client:
        assert (await client.get("/health/ready")).status_code == 200
    return told
