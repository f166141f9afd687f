"""`api`: any route of the service, with the credentials of the other commands."""

import json
import sys
from typing import Any, Final

import click

from cli.core.client import ADMIN_PREFIX, PUBLIC_PREFIX, AdminApi, Api, authorization, is_error
from cli.core.context import Target, find_target
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

    ROUTE is a name such as task.list?limit=2, or a path such as /internal/v1/queue.list or /metrics: paths beside
    /api/ take the API key.

    \b
    Example:
      nooble-orch api GET task.list?status=failed --tenant acme
      nooble-orch api POST /internal/v1/tenant.drain/acme -d '{"mode": "discard"}'
      nooble-orch api GET /metrics
    """
    body = _body(sys.stdin.read() if data == "-" else data)
    with _client(find_target(), route) as client:
        response = client.raw(method, route, body)
    try:
        answer = response.json()
    except ValueError:
        click.echo(response.text)
        answer = {}
    else:
        click.echo(json.dumps(answer, indent=2))
    if response.status >= _FAULT:
        error = answer.get("error") if isinstance(answer, dict) else None
        told = error if is_error(error) else {"message": f"The service answered {response.status}."}
        raise refusal(response.status, told)


class _OpenApi(Api):
    """The client of what needs no credentials, or shows more with them: health, metrics, documents."""

    def _access(self, *, operator: bool) -> tuple[str, dict[str, str]]:
        if self._target.api_key:
            return ADMIN_PREFIX, {"X-API-Key": self._target.api_key}
        return PUBLIC_PREFIX, authorization(self._target, operator=operator) if self._target.operator_token else {}


def _client(target: Target, route: str) -> Api:
    if route.startswith(_INTERNAL):
        return AdminApi(target)
    is_open = route.startswith("/") and not route.startswith(f"{PUBLIC_PREFIX}/")
    return _OpenApi(target, operator=True) if is_open else Api(target, operator=True)


def _body(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json_value(text)
    except ValueError as error:
        raise CliFailure(f"The body is no JSON: {error}.", "", Exit.USAGE) from None
