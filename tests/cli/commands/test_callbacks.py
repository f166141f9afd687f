"""`callbacks`: a signature that holds, one that does not, and the attempts of a batch from the command line."""

import json
import time
from functools import partial
from pathlib import Path

import pytest

from orchestrator.domain.webhook_signatures import new_secret, signed_headers
from tests.cli.runs import run_cli

BODY = b'{"type": "batch.completed"}'


def kept(folder: Path, secret: str, *, age: int = 0, body: bytes = BODY) -> list[str]:
    """Keep a request as a receiver would; returns the arguments of the command."""
    headers = signed_headers([secret], "a-delivery", int(time.time()) - age, BODY)
    (folder / "body").write_bytes(body)
    (folder / "headers").write_text("".join(f"{name.title()}: {value}\r\n" for name, value in headers.items()))
    (folder / "secret").write_text(secret + "\n")
    return [str(folder / "body"), "--headers", str(folder / "headers"), "--secret-file", str(folder / "secret")]


async def test_a_genuine_request_is_verified(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "callbacks", "verify", *kept(tmp_path, new_secret()), "-o", "json")
    assert (ended.code, json.loads(ended.out)["webhook_id"]) == (0, "a-delivery")


@pytest.mark.parametrize(
    ("age", "body", "why"),
    [(0, BODY + b" ", "no signature is of this secret"), (4000, BODY, "from now, and 300 s are tolerated")],
    ids=["another body", "too old"],
)
async def test_a_request_that_is_not_is_told_with_the_reason(tmp_path: Path, age: int, body: bytes, why: str) -> None:
    given = kept(tmp_path, new_secret(), age=age, body=body)
    ended = await run_cli(tmp_path, "callbacks", "verify", *given)
    assert (ended.code, ended.out) == (1, "")
    assert why in ended.err
    if age:
        assert (await run_cli(tmp_path, "callbacks", "verify", *given, "--tolerance", "5000")).code == 0


async def test_headers_may_be_json_and_the_secret_comes_by_a_variable_too(tmp_path: Path) -> None:
    secret = new_secret()
    body, *_ = kept(tmp_path, secret)
    (tmp_path / "headers").write_text(json.dumps(signed_headers([secret], "b", int(time.time()), BODY)))
    verify = partial(run_cli, tmp_path, "callbacks", "verify", body, "--headers", str(tmp_path / "headers"))
    assert (await verify(ORCH_CALLBACK_SECRET=secret)).code == 0
    assert (await verify(ORCH_CALLBACK_SECRET=new_secret())).code == 1
    assert (await verify()).code == 2
    assert (await verify(ORCH_CALLBACK_SECRET="whsec_?")).code == 2


async def test_headers_that_say_nothing_are_told(tmp_path: Path) -> None:
    given = kept(tmp_path, new_secret())
    (tmp_path / "headers").write_text("Host: here\n")
    ended = await run_cli(tmp_path, "callbacks", "verify", *given)
    assert (ended.code, "webhook-id is missing" in ended.err) == (1, True)
