"""`api`: any route of the service, with the credentials of the other commands."""

import json
import sys
from typing import Any, Final

import click

from cli.core.client import AdminApi, Api
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit, refusal
from cli.core.options import target_options
from cli.core.values import json_value

_METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_INTERNAL: Final = "/internal/"
_FAULT: Final = 400


@click.command()
@click.argument("method", type=click.Choice(_METHODS, case_sensitive=False))
@click.argument("route", metavar="ROUTE")
@click.option("-d", "--data", metavar="JSON", help="The body; - reads it from standard input.")
@target_options
def api(method: str, route: str, data: str | None) -> None:
    """Send a request and print the whole answer.

    ROUTE is a name such as task.list?limit=2, or a path such as /internal/v1/queue.list: paths under /internal/ take
    the API key.

    \b
    Example:
      nooble-orch api GET task.list?status=failed --tenant acme
      nooble-orch api POST /internal/v1/tenant.drain/acme -d '{"mode": "discard"}'
    """
    body = _body(sys.stdin.read() if data == "-" else data)
    target = find_target()
    with AdminApi(target) if route.startswith(_INTERNAL) else Api(target, operator=True) as client:
        response = client.raw(method, route, body)
    try:
        answer = response.json()
    except ValueError:
        click.echo(response.text)
        answer = {}
    else:
        click.echo(json.dumps(answer, indent=2))
    if response.status >= _FAULT:
        error = answer.get("error") or {"message": f"The service answered {response.status}."}
        raise _failure(response.status, error)


def _failure(status: int, error: dict[str, Any]) -> CliFailure:
    return refusal(status, error)


def _body(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json_value(text)
    except ValueError as error:
        raise CliFailure(f"The body is no JSON: {error}.", "", Exit.USAGE) from None
