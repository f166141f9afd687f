"""Which hosts stand in URLs of answers: the service's own, and none that a client has made up."""

from typing import Any, Final

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from orchestrator.config.checks import host_pattern, own_url
from orchestrator.middleware.guards.hosts import KnownHosts
from tests.support.credentials import SETTINGS, bearer
from tests.support.house import House

SERVER: Final = ("192.0.2.10", 8000)
CREATE: Final = "/api/v1/session.create"
BODY: Final = {"agent_id": "docs-guide"}


def host(asked: str, *allowed: str, server: tuple[str, int | None] | None = SERVER, told: bool = False) -> str:
    return KnownHosts(allowed).of({"server": server}, {"host": asked}, told=told)


@pytest.mark.parametrize(
    "asked",
    ["localhost", "LocalHost:8080", "app.localhost:3000", "localhost.", "127.0.0.1:9", "127.8.9.1", "[::1]:8000",
     "[::1]", "192.0.2.10", "192.0.2.10:8000", "192.0.2.10:18000"],
)  # fmt: skip
def test_loopback_and_the_address_of_the_connection_are_known(asked: str) -> None:
    assert host(asked) == asked


@pytest.mark.parametrize(
    "asked",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example",
     "192.0.2.11", "[2001:db8::1]:8000", "192.0.2.10.evil.example:8000", "evil.example:192.0.2.10", ""],
)  # fmt: skip
def test_any_other_host_is_replaced_by_the_address_of_the_connection(asked: str) -> None:
    assert host(asked) == "192.0.2.10:8000"


def test_the_address_may_be_of_ipv6_and_may_be_missing() -> None:
    assert host("evil.example", server=("2001:db8::5", 80)) == "[2001:db8::5]:80"
    assert host("[2001:DB8::5]:80", server=("2001:db8::5", 80)) == "[2001:DB8::5]:80"
    assert host("evil.example", server=("/run/orchestrator.sock", None)) == ""
    assert host("evil.example", server=None) == ""


@pytest.mark.parametrize(
    ("entry", "asked", "known"),
    [
        ("orch.example", "orch.example", True),
        ("Orch.Example", "orch.example:8443", True),
        ("orch.example", "x.orch.example", False),
        ("orch.example", "orch.example.evil", False),
        ("orch.example:8443", "orch.example:8443", True),
        ("orch.example:8443", "orch.example", False),
        ("*.example", "a.b.example:1", True),
        ("*.example", "example", False),
        ("*.example", "evilexample", False),
        ("[2001:db8::1]", "[2001:db8::1]:80", True),
        ("*", "any.where:1", True),
    ],
)
def test_hosts_may_be_allowed(entry: str, asked: str, known: bool) -> None:
    assert host_pattern(entry) is None
    assert (host(asked, entry) == asked) is known


@pytest.mark.parametrize("entry", ["", "http://x", "a b", "*.", "x:port", "x/y", "a*b", "user@x"])
def test_what_is_no_host_is_not_allowed_by_the_settings(entry: str) -> None:
    assert host_pattern(entry) is not None


def test_what_clients_see_has_no_credentials() -> None:
    assert own_url("https://orch.example/base") is None
    assert "without a user" in str(own_url("https://ann:secret@orch.example"))


def test_an_unknown_host_is_logged_once_with_the_settings_that_name_it() -> None:
    hosts = KnownHosts(())
    with capture_logs() as logs:
        for _ in range(3):
            hosts.of({"server": SERVER}, {"host": "orch.example"})
        for number in range(100):
            hosts.of({"server": SERVER}, {"host": f"{number}.example"})
    assert [entry["host"] for entry in logs].count("orch.example") == 1
    assert len(logs) == 20
    assert "ORCH_ALLOWED_HOSTS" in logs[0]["hint"]


async def _url(sent: dict[str, str], client: tuple[str, int] = ("198.51.100.7", 5000), **settings: Any) -> str:
    house = House(settings=evolve(SETTINGS, **settings))
    scope = {"server": SERVER, "client": client}
    reply = await house.call("POST", CREATE, BODY, {**bearer(), **sent}, scope_base=scope)
    return str(reply.data["websocket_url"]).partition("/ws/v1/chat/")[0]


@pytest.mark.parametrize(
    "sent",
    [
        {"Host": "evil.example"},
        {"Host": "localhost", "X-Forwarded-Host": "evil.example"},
        {"Host": "localhost", "Forwarded": "host=evil.example;proto=https"},
        {"Host": "localhost", "X-Forwarded-Port": "6666"},
    ],
)
async def test_no_forged_host_stands_in_an_answer(sent: dict[str, str]) -> None:
    expected = "ws://192.0.2.10:8000" if sent["Host"] == "evil.example" else "ws://localhost"
    assert await _url(sent) == expected
    assert await _url(sent, public_url="https://orch.example/base") == "wss://orch.example/base"


async def test_a_trusted_proxy_may_name_the_host_but_what_it_only_passes_on_is_unknown() -> None:
    proxy: dict[str, Any] = {"client": ("10.0.0.1", 5000), "trusted_proxies": ("10.0.0.0/8",)}
    told = {"Host": "inner", "X-Forwarded-Host": "orch.example", "X-Forwarded-Proto": "https"}
    assert await _url(told, **proxy) == "wss://orch.example"
    assert await _url({"Host": "evil.example", "X-Forwarded-Proto": "https"}, **proxy) == "wss://192.0.2.10:8000"
    passed_on = {"Host": "orch.example", "X-Forwarded-Proto": "https"}
    assert await _url(passed_on, allowed_hosts=("orch.example",), **proxy) == "wss://orch.example"


async def test_documents_and_errors_have_no_forged_host_either() -> None:
    house = House()
    for path in ("/openapi.json", "/health", "/docs", "/", "//docs", "/docs/", "/nowhere", "/api/v1/session.create"):
        reply = await house.call("GET", path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert "evil.example" not in reply.raw.decode() + str(reply.headers), path
