"""Where a request came from, as trusted proxies say it, and as clients would like to say it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.middleware.context import header_map
from orchestrator.middleware.guards.forwarded import Asked, RemoteAddress, read_address

PROXY = ("10.0.0.1", 50000)
ADDRESSES = RemoteAddress(["10.0.0.0/8", "2001:db8:aa::/48"])


def scope_of(*lines: tuple[str, str], client: tuple[str, int] | None = PROXY, scheme: str = "http") -> dict[str, Any]:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in lines]
    return {"client": client, "scheme": scheme, "headers": headers}


def address(*lines: tuple[str, str], client: tuple[str, int] | None = PROXY) -> str:
    scope = scope_of(*lines, client=client)
    return ADDRESSES.of(scope, header_map(scope))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:8080 ", "192.0.2.1"),
        ('"192.0.2.1:8080"', "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        *((text, None) for text in (
            "", "unknown", "_hidden", "192.0.2.1:", "192.0.2.1:port", "192.0.2.1:123456", "[2001:db8::1", "[192.0.2.1]",
            "[2001:db8::1]443", "999.0.0.1", "192.0.2", "example.org", '"', "192.0.2.1 192.0.2.2", "0x7f000001",
        )),
    ],
)  # fmt: skip
def test_an_address_is_read_as_proxies_write_it(written: str, read: str | None) -> None:
    assert read_address(written) == read


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([("x-forwarded-for", "198.51.100.7, 192.0.2.1")], "192.0.2.1"),
        ([("x-forwarded-for", "192.0.2.1, 10.0.0.2, 10.0.0.3")], "192.0.2.1"),
        ([("x-forwarded-for", "192.0.2.1:4711, 10.0.0.2:80")], "192.0.2.1"),
        ([("x-forwarded-for", "[2001:db8::7]:4711")], "2001:db8::7"),
        ([("x-forwarded-for", "2001:db8::7, 2001:db8:aa::2")], "2001:db8::7"),
        ([("x-forwarded-for", "192.0.2.1, ::ffff:10.0.0.2")], "192.0.2.1"),
        ([("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")], "192.0.2.1"),
        ([("x-forwarded-for", "192.0.2.1,, ,")], "192.0.2.1"),
        ([("x-forwarded-for", "192.0.2.1, unknown")], "10.0.0.1"),
        ([("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.2")], "10.0.0.2"),
        ([("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        ([("x-forwarded-for", "")], "10.0.0.1"),
        ([("forwarded", "for=192.0.2.1;proto=https;by=10.0.0.1")], "192.0.2.1"),
        ([("forwarded", 'FOR="[2001:DB8::7]:4711"; Proto=http')], "2001:db8::7"),
        ([("forwarded", "for=198.51.100.7, for=192.0.2.1, For=10.0.0.2")], "192.0.2.1"),
        ([("forwarded", "for=198.51.100.7"), ("forwarded", "for=192.0.2.1")], "192.0.2.1"),
        ([("forwarded", "for=192.0.2.1;for=198.51.100.7")], "192.0.2.1"),
        ([("forwarded", "for=198.51.100.7, for=unknown")], "10.0.0.1"),
        ([("forwarded", "for=198.51.100.7, by=10.0.0.1")], "10.0.0.1"),
        ([("forwarded", 'for=198.51.100.7, x=", for=192.0.2.1')], "10.0.0.1"),
        ([("forwarded", 'for="192.0.2.1, for=198.51.100.7"')], "10.0.0.1"),
        ([("forwarded", r'for="192.0.2.\1"')], "192.0.2.1"),
        ([("forwarded", "nonsense")], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_counts(lines: list[tuple[str, str]], found: str) -> None:
    assert address(*lines) == found


def test_what_others_than_trusted_proxies_say_is_not_believed() -> None:
    lines = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")]
    assert address(*lines, client=("198.51.100.7", 1)) == "198.51.100.7"
    assert RemoteAddress([]).of(scope_of(*lines), {"x-forwarded-for": "192.0.2.1"}) == "10.0.0.1"
    assert address(*lines, client=None) == ""


def test_a_client_can_not_choose_its_address_by_the_header_that_the_proxy_leaves_alone() -> None:
    assert address(("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")) == "192.0.2.1"
    assert address(("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=198.51.100.7")) == "10.0.0.1"


def test_a_chain_without_end_is_cut() -> None:
    chain = ", ".join(["192.0.2.1", *["10.0.0.2"] * 10_000])
    assert address(("x-forwarded-for", chain)) == "10.0.0.2"


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=200), st.booleans())
def test_whatever_stands_left_of_the_proxys_own_entry_changes_nothing(invented: str, quoted: bool) -> None:
    told = address(("x-forwarded-for", f"{invented}, 192.0.2.1"))
    assert told == "192.0.2.1"
    # An open quote can swallow the proxy's entry; it never puts another address in its place.
    entry = 'for="192.0.2.1"' if quoted else "for=192.0.2.1"
    assert address(("forwarded", f"{invented}, {entry}")) in {"192.0.2.1", "10.0.0.1"}


@pytest.mark.parametrize(
    ("lines", "scheme", "asked"),
    [
        ([("host", "inside:8000")], "http", Asked("http", "inside:8000")),
        ([("host", "inside"), ("x-forwarded-proto", "HTTPS")], "http", Asked("https", "inside")),
        ([("host", "inside"), ("x-forwarded-proto", "http, https")], "http", Asked("https", "inside")),
        ([("host", "inside"), ("x-forwarded-proto", "gopher")], "http", Asked("http", "inside")),
        ([("host", "inside"), ("x-forwarded-proto", "https")], "ws", Asked("wss", "inside")),
        ([("x-forwarded-host", "api.example.org"), ("host", "inside")], "http", Asked("http", "api.example.org")),
        ([("x-forwarded-host", "bad host/"), ("host", "inside")], "http", Asked("http", "inside")),
        ([("host", "a.example"), ("x-forwarded-port", "8443")], "https", Asked("https", "a.example:8443")),
        ([("host", "a.example:80"), ("x-forwarded-port", "443"), ("x-forwarded-proto", "https")], "http",
         Asked("https", "a.example")),
        ([("host", "[2001:db8::1]"), ("x-forwarded-port", "81")], "http", Asked("http", "[2001:db8::1]:81")),
        ([("host", "a.example"), ("x-forwarded-port", "99999999")], "http", Asked("http", "a.example")),
        ([("host", "inside"), ("forwarded", 'for=192.0.2.1;host="api.example.org:8443";proto=https')], "http",
         Asked("https", "api.example.org:8443")),
    ],
)  # fmt: skip
def test_scheme_host_and_port_are_those_that_the_client_asked_for(
    lines: list[tuple[str, str]], scheme: str, asked: Asked
) -> None:
    scope = scope_of(*lines, scheme=scheme)
    assert ADDRESSES.asked(scope, header_map(scope)) == asked


def test_a_request_of_a_proxy_is_completed_and_no_other() -> None:
    lines = [("host", "inside"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example.org")]
    scope = scope_of(*lines)
    headers = header_map(scope)
    ADDRESSES.complete(scope, headers)
    assert (scope["scheme"], headers["host"]) == ("https", "api.example.org")
    assert header_map(scope)["host"] == "api.example.org"
    foreign = scope_of(*lines, client=("198.51.100.7", 1))
    ADDRESSES.complete(foreign, header_map(foreign))
    assert (foreign["scheme"], header_map(foreign)["host"]) == ("http", "inside")
