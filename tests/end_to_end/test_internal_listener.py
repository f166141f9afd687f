"""Internal routes on a listener of their own, with real certificates."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trio
import trio_websocket
from attrs import evolve, frozen
from trio_websocket import ConnectionRejected

from orchestrator import server
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings
from orchestrator.main import serve
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from tests.support.certificates import HOUR, Authority
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, SECRET, SETTINGS, bearer
from tests.support.eventually import eventually

PENDING: Final = "/internal/v1/notification.pending/ann"
QUERY: Final = {"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": "acme"}
UPDATES: Final = "/internal/v1/ws/task_updates"
SUBJECTS: Final = ("query.internal=query", "spiffe://acme/query=query", "ops=operator", "both.internal=nobody-else")


@frozen
class Served:
    """The service with both of its listeners."""

    authority: Authority
    public: str
    internal: str

    async def ask(
        self,
        path: str = PENDING,
        certificate: tuple[Path, Path] | None = None,
        headers: dict[str, str] = QUERY,
        *,
        base: str | None = None,
        method: str = "GET",
    ) -> httpx.Response:
        verify = self.authority.client(certificate)
        async with httpx.AsyncClient(verify=verify, trust_env=False) as client:
            return await client.request(method, (base or self.internal) + path, headers=headers)


@asynccontextmanager
async def serving(redis_url: str, directory: Path, **more: Any) -> AsyncIterator[Served]:
    authority = Authority(directory)
    certfile, keyfile = authority.sign("server", hosts=["localhost"])
    settings = evolve(
        SETTINGS,
        redis_url=redis_url,
        internal_bind="127.0.0.1:0",
        internal_certfile=str(certfile),
        internal_keyfile=str(keyfile),
        internal_ca_certs=str(authority.file),
        internal_subjects=SUBJECTS,
        **more,
    )
    config, stop = server.ServerConfig(), trio.Event()
    config.bind = ["127.0.0.1:0"]
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            binds = await nursery.start(partial(serve, settings, config, watch_signals=False, stop=stop))
            public, internal = binds
            assert internal.startswith("https://")
            yield Served(authority, public, internal.replace("127.0.0.1", "localhost"))
            stop.set()


@pytest.mark.parametrize(
    "holder",
    [
        {"common": "query.internal"},
        {"common": "some-pod", "hosts": ["x.example", "query.internal"]},
        {"common": "some-pod", "uris": ["spiffe://acme/query"]},
    ],
)
async def test_a_service_with_its_certificate_and_its_key_is_let_in(
    redis_url: str, tmp_path: Path, holder: dict[str, Any]
) -> None:
    async with serving(redis_url, tmp_path) as served:
        certificate = served.authority.sign(**holder)
        assert (await served.ask(certificate=certificate)).status_code == 200


async def test_who_has_no_good_certificate_reaches_no_route(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path) as served:
        stranger = Authority(tmp_path, "ca2").sign("query.internal")
        same_name = tmp_path / "other"
        same_name.mkdir()
        namesake = Authority(same_name).sign("query.internal")
        expired = served.authority.sign("query.internal", lives=-HOUR)
        for certificate in (None, stranger, namesake, expired):
            assert await shut_out(served, served.authority.client(certificate))
        assert await shut_out(served, None)
        good = served.authority.sign("query.internal")
        assert (await served.ask(certificate=good)).status_code == 200


@pytest.mark.parametrize(
    ("common", "headers", "status"),
    [
        ("stranger", QUERY, 403),
        ("query.internal.evil", QUERY, 403),
        ("QUERY.INTERNAL", QUERY, 403),
        ("query.internal", {"X-Tenant-ID": "acme"}, 401),
        ("query.internal", {**QUERY, "X-API-Key": "unknown"}, 401),
        ("query.internal", {**QUERY, "X-API-Key": ADMIN_KEY}, 403),
        ("ops", QUERY, 403),
        ("ops", {**QUERY, "X-API-Key": ADMIN_KEY}, 200),
        ("both.internal", QUERY, 403),
    ],
)
async def test_certificate_and_key_must_name_one_service(
    redis_url: str, tmp_path: Path, common: str, headers: dict[str, str], status: int
) -> None:
    async with serving(redis_url, tmp_path) as served:
        reply = await served.ask(certificate=served.authority.sign(common), headers=headers)
        assert reply.status_code == status
        assert reply.json()["status"]["code"] == status
        async with open_redis(redis_url) as redis:
            entries = await redis.xrange(Keys().audit_refusals)
        actions = [fields[b"action"] for _, fields in entries]
        assert actions == ([] if status == 200 else [b"auth.failed" if status == 401 else b"auth.refused"])


async def test_the_public_listener_asks_for_no_certificate_and_has_no_internal_routes(
    redis_url: str, tmp_path: Path
) -> None:
    async with serving(redis_url, tmp_path) as served:
        assert served.public.startswith("http://")
        unknown = await served.ask("/internal/v1/no.such", base=served.public)
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            reply = await served.ask(base=served.public, method=method)
            assert (reply.status_code, reply.json()["error"]["message"]) == (404, unknown.json()["error"]["message"])
        for path in ("/internal/v1/tenant.list", "/internal/v1/key.list"):
            admin = {"X-API-Key": ADMIN_KEY}
            assert (await served.ask(path, base=served.public, headers=admin)).status_code == 404
        assert await refusal(served.public, None, QUERY) == 404
        listed = await served.ask("/api/v1/session.list", base=served.public, headers=bearer())
        assert listed.status_code == 200


async def test_what_a_public_client_says_of_itself_does_not_count_as_a_certificate(
    redis_url: str, tmp_path: Path
) -> None:
    async with serving(redis_url, tmp_path) as served:
        for name in ("X-Client-Cert", "X-SSL-Client-S-DN", "X-Forwarded-Client-Cert", "Client-Cert"):
            reply = await served.ask(base=served.public, headers={**QUERY, name: "CN=query.internal"})
            assert reply.status_code == 404


async def test_the_socket_of_services_needs_certificate_and_key_too(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path) as served:
        for common, headers, status in (
            ("stranger", QUERY, 403),
            ("ops", QUERY, 403),
            ("query.internal", {"X-Tenant-ID": "acme"}, 401),
        ):
            context = served.authority.client(served.authority.sign(common))
            assert await refusal(served.internal, context, headers) == status
        context = served.authority.client(served.authority.sign("query.internal"))
        async with opened(served.internal, context, QUERY) as socket:
            await socket.send_message("{}")
            assert "ORCH_VAL" in str(await socket.get_message())


async def test_the_limits_of_the_server_are_in_force_on_both_listeners(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path) as served:
        certificate = served.authority.sign("query.internal")
        for base in (None, served.public):
            reply = await served.ask(base=base, certificate=certificate, headers={**QUERY, "X-A": "a" * 70_000})
            assert reply.status_code == 431
            reply = await served.ask(
                base=base, certificate=certificate, headers=QUERY | {f"X-{number}": "a" for number in range(130)}
            )
            assert reply.status_code == 431


async def test_a_client_that_says_nothing_within_the_handshake_holds_up_no_other(
    redis_url: str, tmp_path: Path
) -> None:
    async with serving(redis_url, tmp_path) as served:
        port = int(served.internal.rpartition(":")[2])
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(20)]
        certificate = served.authority.sign("query.internal")
        assert (await served.ask(certificate=certificate)).status_code == 200
        for stream in silent:
            await stream.aclose()


async def test_a_connection_goes_on_with_the_certificate_of_its_handshake(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path) as served:
        context = served.authority.client(served.authority.sign("query.internal"))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            for _ in range(3):
                assert (await client.get(served.internal + PENDING, headers=QUERY)).status_code == 200
        other = served.authority.client(served.authority.sign("stranger"))
        async with httpx.AsyncClient(verify=other, trust_env=False) as client:
            assert (await client.get(served.internal + PENDING, headers=QUERY)).status_code == 403


async def test_a_revoked_key_closes_its_socket(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path) as served:
        admin = {"X-API-Key": ADMIN_KEY}
        operator = served.authority.client(served.authority.sign("ops"))
        async with httpx.AsyncClient(verify=operator, trust_env=False, base_url=served.internal) as client:
            made = (await client.post("/internal/v1/key.create", json={"name": "query"}, headers=admin)).json()["data"]
            headers = {"X-API-Key": made["key"], "X-Tenant-ID": "acme"}
            context = served.authority.client(served.authority.sign("query.internal"))
            async with opened(served.internal, context, headers) as socket:
                await client.delete(f"/internal/v1/key.revoke/{made['record']['key_id']}", headers=admin)
                await eventually("the socket is closed", lambda: socket.closed, lambda closed: closed is not None)
                assert socket.closed is not None
                assert socket.closed.code == 4003


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"ORCH_INTERNAL_CERTFILE": "/nowhere"}, "ORCH_INTERNAL_CERTFILE"),
        ({"ORCH_INTERNAL_KEYFILE": ""}, "ORCH_INTERNAL_KEYFILE"),
        ({"ORCH_INTERNAL_CA_CERTS": ""}, "ORCH_INTERNAL_CA_CERTS"),
        ({"ORCH_INTERNAL_SUBJECTS": ""}, "ORCH_INTERNAL_SUBJECTS"),
        ({"ORCH_INTERNAL_SUBJECTS": "query"}, "ORCH_INTERNAL_SUBJECTS"),
        ({"ORCH_INTERNAL_BIND": "8443"}, "ORCH_INTERNAL_BIND"),
        ({"ORCH_INTERNAL_BIND": "localhost:99999"}, "ORCH_INTERNAL_BIND"),
    ],
)
def test_what_is_missing_of_the_listener_stops_the_start(tmp_path: Path, changed: dict[str, str], fault: str) -> None:
    file = tmp_path / "any.pem"
    file.touch()
    good = {
        "ORCH_JWT__SECRET": SECRET,
        "ORCH_INTERNAL_BIND": "[::1]:8443",
        "ORCH_INTERNAL_CERTFILE": str(file),
        "ORCH_INTERNAL_KEYFILE": str(file),
        "ORCH_INTERNAL_CA_CERTS": str(file),
        "ORCH_INTERNAL_SUBJECTS": "query.internal=query, spiffe://acme/query=query",
    }
    assert load_settings(DEFAULTS, good).internal_subjects == ("query.internal=query", "spiffe://acme/query=query")
    with pytest.raises(SettingsFault) as raised:
        load_settings(DEFAULTS, {**good, **changed})
    assert [line.partition(":")[0] for line in raised.value.faults] == [fault]


async def shut_out(served: Served, context: ssl.SSLContext | None) -> bool:
    """Ask over the internal listener, by TLS or not, and tell whether nothing is answered."""
    tcp = await trio.open_tcp_stream("127.0.0.1", int(served.internal.rpartition(":")[2]))
    stream: Any = tcp
    if context is not None:
        stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
    async with tcp:
        try:
            await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return not await stream.receive_some()
        except trio.BrokenResourceError:
            return True


@asynccontextmanager
async def opened(
    base: str, context: ssl.SSLContext | None, headers: dict[str, str]
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Open the socket of services; its connection is closed at the end, whatever happens."""
    host, _, port = base.rpartition("/")[2].partition(":")
    tcp = await trio.open_tcp_stream("127.0.0.1", int(port))
    stream: Any = tcp if context is None else trio.SSLStream(tcp, context, server_hostname=host, https_compatible=True)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    async with tcp, trio.open_nursery() as nursery:
        socket = await trio_websocket.wrap_client_stream(nursery, stream, f"{host}:{port}", UPDATES, extra_headers=raw)
        async with socket:
            yield socket


async def refusal(base: str, context: ssl.SSLContext | None, headers: dict[str, str]) -> int:
    """Try to open the socket of services, and return the status with which it is refused."""
    with pytest.raises((ConnectionRejected, ExceptionGroup)) as refused:
        async with opened(base, context, headers):
            pass
    error: Any = refused.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConnectionRejected)
    return error.status_code
