"""URLs of services, and the proxies in front of them."""

import pytest

from cli.http.errors import InvalidRequest
from cli.http.urls import Address, address_of, encoded, proxy_of


def test_a_url_is_read_into_what_a_request_needs() -> None:
    assert address_of("https://orch.example.com/") == Address("https", "orch.example.com", 443)
    assert address_of("http://ada:a%40b@[::1]:8080/base/") == Address(
        "http", "::1", 8080, "/base", "Basic YWRhOmFAYg=="
    )
    assert address_of("http://[::1]:8080").authority == "[::1]:8080"
    assert address_of("https://bücher.example:443").authority == "xn--bcher-kva.example"


def test_what_a_url_can_not_have_is_escaped_and_what_is_escaped_stays() -> None:
    assert encoded("/a b/é?x=1&y=%20#z") == "/a%20b/%C3%A9?x=1&y=%20%23z"


@pytest.mark.parametrize(
    ("url", "environ", "host"),
    [
        ("http://a.test", {"http_proxy": "http://proxy:3128"}, "proxy"),
        ("https://a.test", {"http_proxy": "http://proxy:3128"}, None),
        ("https://a.test", {"HTTPS_PROXY": "proxy:3128"}, "proxy"),
        ("https://a.test", {"all_proxy": "http://proxy"}, "proxy"),
        ("http://127.0.0.1:1", {"http_proxy": "http://proxy"}, None),
        ("http://a.test", {"http_proxy": "http://proxy", "no_proxy": "b.test, .test"}, None),
        ("http://a.test:81", {"http_proxy": "http://proxy", "NO_PROXY": "a.test:80"}, "proxy"),
        ("http://a.test", {"http_proxy": "http://proxy", "no_proxy": "*"}, None),
        ("http://a.test", {"http_proxy": "http://proxy", "no_proxy": "*.test"}, None),
        ("http://atest", {"http_proxy": "http://proxy", "no_proxy": "*.test"}, "proxy"),
        ("http://10.1.2.3", {"http_proxy": "http://proxy", "no_proxy": "10.0.0.0/8"}, None),
        ("http://11.1.2.3", {"http_proxy": "http://proxy", "no_proxy": "10.0.0.0/8,x/y"}, "proxy"),
        ("http://a.test", {"http_proxy": "http://proxy", "no_proxy": "10.0.0.0/8"}, "proxy"),
        ("http://[fd00::1]:80", {"http_proxy": "http://proxy", "no_proxy": "[fd00::1]"}, None),
    ],
)
def test_the_proxy_is_that_of_the_environment(url: str, environ: dict[str, str], host: str | None) -> None:
    found = proxy_of(address_of(url), environ)
    assert (found.host if found else None) == host


def test_a_proxy_that_is_none_by_http_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="socks5://proxy:1080"):
        proxy_of(address_of("http://a.test"), {"all_proxy": "socks5://proxy:1080"})
