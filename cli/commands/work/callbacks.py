"""`callbacks`: how callbacks were delivered, and whether one that came is genuine."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import IO, Final

import click

from cli.core.client import Api
from cli.core.completion import complete_tasks
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import limit_option, listing_options, watch_option
from cli.core.output import Column, show_list, show_record

_VARIABLE: Final = "ORCH_CALLBACK_SECRET"
_COLUMNS: Final = (
    Column("AGE", "at", age=True),
    Column("DELIVERY", "task_id", whole=True, rank=1),
    Column("TRY", "attempt", whole=True),
    Column("STATUS", "status", whole=True),
    Column("MS", "duration_ms", whole=True),
    Column("ERROR", "error.code", whole=True),
    Column("URL", "url"),
    Column("BYTES", "body_bytes", whole=True, wide=True),
    Column("SHA-256", "body_sha256", wide=True),
    Column("WHY", "error.message", wide=True),
)


@click.group()
@listing_options
def callbacks() -> None:
    """List how callbacks were delivered, and verify one that has come.

    \b
    Example:
      nooble-orch callbacks list 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """


@callbacks.command("list")
@click.argument("task_id", metavar="TASK", shell_complete=complete_tasks)
@limit_option()
@watch_option
@listing_options
def list_attempts(task_id: str, limit: int) -> None:
    """List the attempts to tell of the end of TASK, newest first: a task, a batch, or one delivery.

    Of a body its size and its SHA-256 are kept, of the URL neither credentials nor query.

    \b
    Example:
      nooble-orch callbacks list 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 -o wide
    """
    with Api(find_target(), operator=True) as api:
        show_list(api.listed(f"callback.list/{task_id}", limit), _COLUMNS, "No attempt was made.")


@callbacks.command()
@click.argument("body", type=click.File("rb"))
@click.option(
    "--headers",
    "headers_file",
    type=click.File("r", encoding="latin-1"),
    required=True,
    help="File with the request's headers: lines 'Name: value', or an object of JSON.",
)
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with the secret; two while one replaces another. Default: {_VARIABLE}.",
)
@click.option(
    "--tolerance",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Greatest age of the request, in seconds.",
)
@listing_options
def verify(body: IO[bytes], headers_file: IO[str], secret_file: Path | None, tolerance: int) -> None:
    """Say whether the signature of a request holds; BODY is a file with its body, - standard input.

    The body has to be what came, to the byte. Exit code 1: the signature does not hold.

    \b
    Example:
      nooble-orch callbacks verify body.json --headers head.txt --secret-file key
    """
    from orchestrator.domain.webhook_signatures import verified  # noqa: PLC0415 - lists verify nothing

    secrets = _secrets(secret_file)
    headers, now = _headers(headers_file.read()), int(time())
    if not verified(secrets, headers, body.read(), now, tolerance):
        raise CliFailure(f"The signature does not hold: {_why(headers, now, tolerance)}", "Do not trust the body.")
    show_record({"verified": True, "webhook_id": headers["webhook-id"], "timestamp": headers["webhook-timestamp"]})


def _secrets(file: Path | None) -> list[str]:
    """Return the secrets, of a file or a variable: the arguments of a process are seen by all users of its machine."""
    from orchestrator.domain.webhook_signatures import is_secret  # noqa: PLC0415 - as in `verify`

    text = file.read_text(encoding="utf-8", errors="replace") if file else os.environ.get(_VARIABLE, "")
    secrets = text.split()
    if not secrets or not all(is_secret(one) for one in secrets):
        hint = f"Give it with --secret-file or {_VARIABLE}; 'nooble-orch tenants callback-secret' shows it."
        raise CliFailure("There is no secret such as whsec_….", hint, Exit.USAGE)
    return secrets


def _headers(text: str) -> Mapping[str, str]:
    """Read headers; their names become lower case."""
    try:
        told = json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        told = None
    if isinstance(told, dict):
        return {str(name).lower(): str(value) for name, value in told.items()}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def _why(headers: Mapping[str, str], now: int, tolerance: int) -> str:
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not headers.get(name)]
    if missing:
        return f"the header {missing[0]} is missing."
    moment = headers["webhook-timestamp"]
    if not (moment.isascii() and moment.isdigit()):
        return "webhook-timestamp is no number of seconds."
    apart = abs(now - int(moment[:12]))
    if apart > tolerance:
        return f"its timestamp is {apart} s from now, and {tolerance} s are tolerated."
    return "no signature is of this secret, body, id and timestamp."
