"""A client for services on loopback."""

import ssl
from typing import Any, Final

import httpx

_TRUSTS_NOTHING: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def loopback_client(**settings: Any) -> httpx.AsyncClient:
    """Make a client that speaks plain HTTP, and so need not load what certificates are to be trusted (0.1 s)."""
    return httpx.AsyncClient(verify=_TRUSTS_NOTHING, trust_env=False, **settings)
