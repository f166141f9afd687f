"""Secrets are masked in texts of every form, and nothing else is."""

import json
from typing import Final

import pytest

from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import load_settings, secrets_of
from orchestrator.config.masking import bare_url, mask_credentials, masker_of

KEY: Final = "a" * 43 + "="


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://:pass@host:1/0", "redis://***@host:1/0"),
        ("unix://ann:pass@/run/redis.sock", "unix://***@/run/redis.sock"),
        ("no connection to http://ann:p%40ss@host/x: refused", "no connection to http://***@host/x: refused"),
        ("http://a:b@one/, http://c:d@two/", "http://***@one/, http://***@two/"),
        ("redis://host/0?password=pass&db=1", "redis://host/0?password=***&db=1"),
        ("https://host/?access_token=abc#x", "https://host/?access_token=***#x"),
        ("https://host/?id=1&X-Api-Key=abc", "https://host/?id=1&X-Api-Key=***"),
        ("ann@example.org asked https://host/a", "ann@example.org asked https://host/a"),
        ("https://host/@ann?page=2", "https://host/@ann?page=2"),
        ("token=abc", "token=abc"),
        ("", ""),
    ],
)
def test_credentials_of_urls_are_masked_and_the_rest_stays(text: str, masked: str) -> None:
    assert mask_credentials(text) == masked


def test_what_is_kept_of_a_clients_url_is_where_it_leads_to() -> None:
    assert bare_url("https://ann:pass@host:8443/hooks?token=abc#x") == "https://host:8443/hooks"
    assert bare_url("http://[broken") == ""


def test_known_secrets_are_masked_wherever_they_stand() -> None:
    secret = 'so "secret" \\ ä'
    mask = masker_of([secret, "short", ""])
    assert mask(f"it is {secret}!") == "it is ***!"
    assert mask(json.dumps({"it": secret, "short": 1})) == '{"it": "***", "short": 1}'


def test_the_secrets_of_the_settings_are_all_found() -> None:
    environ = {
        "ORCH_JWT__SECRET": "j" * 32,
        "ORCH_JWT__JWKS_URL": "https://ann:jwks%40pass@idp/keys?token=jwks-token",
        "ORCH_API_KEYS": f"ops:admin:{'f' * 64},dev:internal:{'e' * 64}",
        "ORCH_ENCRYPTION_KEYS": f"one:{KEY}",
        "ORCH_REDIS_URL": "redis://:redis-pass@host/0",
        "ORCH_SERVICES__QUERY__URL": "http://only-a-user@query/",
        "ORCH_SERVICES__QUERY__TOKEN": "service-token",
    }
    settings = load_settings(DEFAULTS, environ)
    assert secrets_of(settings) >= {
        *("j" * 32, "jwks%40pass", "jwks@pass", "jwks-token", "f" * 64, "e" * 64, KEY, "redis-pass"),
        *("only-a-user", "service-token"),
    }
    assert not {"ops:admin", "one", "host", "info"} & secrets_of(settings)
    shown = repr(settings)
    assert [secret for secret in secrets_of(settings) if len(secret) > 5 and secret in shown] == []


def test_settings_without_secrets_have_none() -> None:
    assert {one for one in secrets_of(DEFAULTS) if one} == set()
