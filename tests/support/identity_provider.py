"""An identity provider on loopback: its keys, the tokens that they sign, and whatever else it may answer."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import jwt
import trio
from attrs import define, evolve, field
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from orchestrator.config.settings import AgentOrchestratorSettings, JwtSettings
from orchestrator.middleware.auth import Authenticator
from tests.support.credentials import SETTINGS

RSA = generate_rsa(65537, 2048)
EC = generate_private_key(SECP256R1())
ED = Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}
WRITERS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def public(algorithm: str, kid: str, **more: Any) -> dict[str, Any]:
    written = json.loads(WRITERS[algorithm].to_jwk(PRIVATE[algorithm].public_key()))
    return {**written, "kid": kid, "use": "sig", **more}


def token(algorithm: str, kid: str | None, key: Any = None, **claims: Any) -> str:
    good = {"sub": "ann", "tenant_id": "acme", "exp": time.time() + 60, **claims}
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode(good, key or PRIVATE[algorithm], algorithm=algorithm, headers=headers)


@define
class Provider:
    """An identity provider of one document, over bare HTTP."""

    body: bytes = b""
    hangs: bool = False
    status: str = "200 OK"
    headers: str = ""
    """More lines of the answer's head, each with its line break."""
    answers: Callable[[trio.SocketStream], Awaitable[None]] | None = None
    """Answers instead."""
    fetches: int = 0
    url: str = ""
    asked: trio.Event = field(factory=trio.Event)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    def settings(self, **more: Any) -> AgentOrchestratorSettings:
        """Settings of a service that asks this provider; `more` are those of its tokens."""
        return evolve(SETTINGS, jwt=JwtSettings(jwks_url=self.url, **more), auth_failures=0)

    async def serve(self, stream: trio.SocketStream) -> None:
        await stream.receive_some()
        self.fetches += 1
        self.asked.set()
        if self.hangs:
            await trio.sleep_forever()
        with suppress(trio.BrokenResourceError):  # the service gives up
            if self.answers is not None:
                await self.answers(stream)
                return
            length = f"Content-Length: {len(self.body)}\r\n"
            head = f"HTTP/1.1 {self.status}\r\n{length}{self.headers}Connection: close\r\n\r\n"
            await stream.send_all(head.encode() + self.body)
            await stream.aclose()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Provider, Authenticator]]:
    provider = Provider()
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), provider.serve, 0)
        provider.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/keys"
        yield provider, Authenticator(provider.settings())
        nursery.cancel_scope.cancel()
