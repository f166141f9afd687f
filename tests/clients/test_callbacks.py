"""Requests to receivers that clients name: where they may go, how they get there, and what of the answer counts."""

import socket
import ssl
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from orchestrator.clients import callbacks
from orchestrator.clients.callbacks import CallbackClient
from orchestrator.clients.transport.addresses import AddressGuard, is_public, parse_target
from orchestrator.errors import BadGateway, CallTimeout, ServiceRefused, ServiceUnreachable
from tests.store.redis.test_tls import make_certificate
from tests.support.callback_receiver import open_receiver
from tests.support.eventually import PATIENCE

LOOPBACK = AddressGuard(("127.0.0.0/8",))


@define
class Names(trio.abc.HostnameResolver):
    """Resolves every name to the next of these addresses; the last one stays."""

    addresses: list[str]
    asked: list[str] = field(factory=list)

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host.decode() if isinstance(host, bytes) else host)
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),  # noqa: S104 - refused
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1", "::ffff:10.0.0.1"),
        *("::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
        *("168.63.129.16", "100.100.100.200", "192.0.0.192", "169.254.170.2", "192.88.99.1"),
        *("fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "::ffff:168.63.129.16", "64:ff9b::a83f:8110"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:a9fe:a9fe::1", "::ffff:0:8.8.8.8", "::8.8.8.8"),
        *(
            "fe80::1%eth0",
            "fe80::a9fe:a9fe%1",
            "2606:4700::1111%eth0",
            "fe80::5efe:8.8.8.8",
            "2606:4700::5efe:10.0.0.1",
        ),
        *("2606:4700::200:5efe:a9fe:a9fe", "3fff::1", "100::1", "5f00::1", "2001:db8::1", "2001:20::1"),
    ],
)
async def test_addresses_outside_the_public_network_are_refused(address: str) -> None:
    guard = AddressGuard(())
    assert not guard.allows("receiver.example", ip_address(address))
    assert guard.refuses_literal(address)
    trio.socket.set_custom_hostname_resolver(Names([address]))
    with pytest.raises(ServiceRefused):
        await CallbackClient(guard).post("http://receiver.example/", {}, b"{}")


@pytest.mark.parametrize("allowed", ["169.254.0.0/16", "0.0.0.0/0", "100.64.0.0/10", "::/0", "receiver.example"])
@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"])
def test_a_network_that_is_allowed_does_not_include_a_metadata_service(allowed: str, address: str) -> None:
    assert not AddressGuard((allowed,)).allows("receiver.example", ip_address(address))
    assert AddressGuard((address,)).allows("receiver.example", ip_address(address))


@pytest.mark.parametrize("host", ["metadata.google.internal", "Metadata.Google.Internal.", "instance-data"])
async def test_the_names_of_metadata_services_are_refused_wherever_they_lead(host: str) -> None:
    names = Names(["8.8.8.8"])
    trio.socket.set_custom_hostname_resolver(names)
    guard = AddressGuard(())
    assert guard.refuses_literal(host)
    with pytest.raises(ServiceRefused):
        await CallbackClient(guard).post(f"http://{host}/", {}, b"{}")
    assert names.asked == []


@pytest.mark.parametrize(
    "host", ["0177.0.0.1", "0x7f000001", "2130706433", "127.1", "0x8.0x8.8.8", "8.8.8.8.", "1.2.3"]
)
async def test_an_address_in_an_odd_spelling_is_refused_before_it_is_resolved(host: str) -> None:
    names = Names(["8.8.8.8"])
    trio.socket.set_custom_hostname_resolver(names)
    guard = AddressGuard(("127.0.0.0/8",))
    assert guard.refuses_literal(host)
    with pytest.raises(ServiceRefused):
        await CallbackClient(guard).post(f"http://{host}/", {}, b"{}")
    assert names.asked == []


async def test_every_attempt_resolves_the_name_anew_and_checks_what_it_finds() -> None:
    names = Names(["169.254.169.254", "127.0.0.1"])
    trio.socket.set_custom_hostname_resolver(names)
    async with open_receiver() as receiver:
        client = CallbackClient(LOOPBACK)
        with pytest.raises(ServiceRefused):
            await client.post(receiver.url("moving.example"), {}, b"{}")
        assert (await client.post(receiver.url("moving.example"), {}, b"{}")).status == 200
    assert names.asked == ["moving.example"] * 2


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("allowed", "host", "address"),
    [
        ("10.0.0.0/8", "receiver.example", "10.1.2.3"),
        ("10.1.2.3", "receiver.example", "10.1.2.3"),
        ("10.0.0.0/8", "receiver.example", "::ffff:10.1.2.3"),
        ("fd00::/8", "receiver.example", "fd00::1"),
        ("Receiver.example", "receiver.example", "192.168.0.1"),
    ],
)
def test_what_an_operator_has_named_is_allowed(allowed: str, host: str, address: str) -> None:
    assert AddressGuard((allowed,)).allows(host, ip_address(address))
    assert not AddressGuard((allowed,)).allows("other.example", ip_address("172.16.0.1"))


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
async def test_other_ways_to_write_loopback_are_loopback(host: str) -> None:
    async with open_receiver() as receiver:
        with pytest.raises((ServiceRefused, ServiceUnreachable)):
            await CallbackClient(AddressGuard(())).post(receiver.url(host), {}, b"{}")
        assert receiver.deliveries == []


async def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_connected_to() -> None:
    names = Names(["127.0.0.1", "10.9.9.9"])
    trio.socket.set_custom_hostname_resolver(names)
    async with open_receiver() as receiver:
        assert (await CallbackClient(LOOPBACK).post(receiver.url("rebinding.example"), {}, b"{}")).status == 200
        assert names.asked == ["rebinding.example"]
        assert receiver.deliveries[0].headers["host"] == f"rebinding.example:{receiver.port}"
        with pytest.raises(ServiceRefused):
            await CallbackClient(LOOPBACK).post(receiver.url("rebinding.example"), {}, b"{}")


async def test_a_redirect_is_an_answer_like_others() -> None:
    async with open_receiver() as receiver:
        receiver.answers = [307]
        assert (await CallbackClient(LOOPBACK).post(receiver.url(), {}, b"{}")).status == 307
        assert len(receiver.deliveries) == 1


async def test_an_answer_without_end_is_left_after_its_beginning() -> None:
    async with open_receiver() as receiver:
        receiver.endless = True
        with trio.fail_after(PATIENCE):
            assert (await CallbackClient(LOOPBACK).post(receiver.url(), {}, b"{}")).status == 200


async def test_a_receiver_that_does_not_answer_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "CALLBACK_SECONDS", 0.1)
    async with open_receiver() as receiver:
        receiver.release = trio.Event()
        with pytest.raises(CallTimeout), trio.fail_after(PATIENCE):
            await CallbackClient(LOOPBACK).post(receiver.url(), {}, b"{}")
        receiver.release.set()


async def test_what_does_not_speak_http_is_a_bad_gateway() -> None:
    async def babble(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"220 ready\r\n\r\n")

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, babble, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        with pytest.raises(BadGateway):
            await CallbackClient(LOOPBACK).post(f"http://127.0.0.1:{port}/", {}, b"{}")
        nursery.cancel_scope.cancel()


async def test_a_certificate_must_be_trusted_and_of_the_name_in_the_url(tmp_path: Path) -> None:
    certificate, serving = make_certificate(tmp_path)
    trusting = CallbackClient(LOOPBACK, ssl.create_default_context(cafile=str(certificate)))
    trio.socket.set_custom_hostname_resolver(Names(["127.0.0.1"]))
    async with open_receiver(serving) as receiver:
        assert (await trusting.post(receiver.url("localhost", "https"), {}, b"{}")).status == 200
        with pytest.raises(ServiceUnreachable, match="certificate"):
            await trusting.post(receiver.url("other.example", "https"), {}, b"{}")
        with pytest.raises(ServiceUnreachable, match="certificate"):
            await CallbackClient(LOOPBACK).post(receiver.url("localhost", "https"), {}, b"{}")
        assert len(receiver.deliveries) == 1


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("http://a.example", lambda target: (target.port, target.path, target.authority) == (80, "/", "a.example")),
        ("https://a.example?x=1", lambda target: (target.port, target.path) == (443, "/?x=1")),
        ("https://[2606:4700::1]:8443/p", lambda target: (target.host, target.port) == ("2606:4700::1", 8443)),
    ],
)
def test_urls_are_taken_apart(url: str, read: Callable[[Any], bool]) -> None:
    assert read(parse_target(url))
