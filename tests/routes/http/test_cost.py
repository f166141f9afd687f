"""What a request costs before it is refused: no body of a client holds the loop for 100 ms."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from time import thread_time

import pytest
from attrs import fields_dict

from orchestrator.codec import MOST_VALUES, structure
from orchestrator.errors import OrchestratorError
from orchestrator.routes import ROUTES
from orchestrator.routes.http.bodies import open_envelope
from orchestrator.routes.http.registry import Route

SIZE = 1 << 20
MOST = MOST_VALUES - 10
LOOPS = 1_000_000
UNITS = 5
"""A loop of `LOOPS` rounds takes 20 ms on the machine that the bound is meant for: 100 ms are five on a slower one."""
WIDE = ("items", "plan", "metadata", "attachments", "input", "context", "parameters", "changes")
"""Fields that hold as much as a client likes."""


def wide_fields(route: Route) -> list[str]:
    """Return the fields of a route's body that hold as much as a client likes."""
    model = route.body
    return [] if model in {None, dict} or model is None else [name for name in WIDE if name in fields_dict(model)]


CASES = [(route, name) for route in ROUTES for name in wide_fields(route)]


def filled(before: bytes, item: bytes, after: bytes) -> bytes:
    count = (SIZE - len(before) - len(after)) // (len(item) + 1)
    return before + b",".join([item] * count) + after


def named(fields: Iterable[bytes]) -> bytes:
    return b"{" + b",".join(fields) + b"}"


def cpu_seconds(work: Callable[[], object]) -> float:
    began = thread_time()
    work()
    return thread_time() - began


def allowed() -> float:
    """Measure what is allowed at this moment: other work on the machine slows it down and what is tried alike."""

    def loop() -> None:
        for _ in range(LOOPS):
            pass

    return max(0.1, UNITS * cpu_seconds(loop))


@pytest.fixture(scope="module")
def first_allowed() -> float:
    return max(allowed() for _ in range(3))


@cache
def shapes(field: bytes) -> dict[str, bytes]:
    """Bodies of 1 MiB, most of which stands in `field`."""
    begin = b'{"data":{"' + field + b'":'
    return {
        "numbers": filled(begin + b"[", b"1", b"]}}"),
        "empty objects": filled(begin + b"[", b"{}", b"]}}"),
        "wrong objects": filled(begin + b"[", b'{"x":1}', b"]}}"),
        "long strings": filled(begin + b"[", b'"' + b"x" * 1000 + b'"', b"]}}"),
        "a string of quotes": begin + b'"' + b'\\"' * (SIZE // 2 - 50) + b'"}}',
        "members": begin + named(b'"k%d":1' % number for number in range(MOST)) + b"}}",
        "objects of members": begin + named(b'"k%d":{"a":[1]}' % number for number in range(MOST // 2 - 10)) + b"}}",
        "levels": begin + b"[" * 60 + filled(b"", b"1", b"")[:900_000].rstrip(b",") + b"]" * 60 + b"}}",
        "unknown fields": b'{"data":' + named(b'"k%d":1' % number for number in range(MOST)) + b"}",
        "no envelope": named(b'"k%d":1' % number for number in range(MOST)),
        "nonsense": b'{"a' + b"\\" * (SIZE - 4),
    }


@pytest.mark.parametrize(("route", "name"), CASES, ids=lambda value: getattr(value, "name", value))
def test_no_body_takes_long_to_be_read_or_refused(route: Route, name: str, first_allowed: float) -> None:
    assert route.body is not None
    model: type = route.body

    def read(raw: bytes) -> None:
        with suppress(OrchestratorError):
            envelope, path = open_envelope(raw, route.name, "acme")
            structure(envelope.data, model, path)

    slow = {}
    for shape, raw in shapes(name.encode()).items():
        work = partial(read, raw)
        if cpu_seconds(work) > first_allowed and all(allowed() < cpu_seconds(work) for _ in range(4)):
            slow[shape] = "takes longer than is allowed, five times"
    assert slow == {}
