"""TLS: the same connection, behind a certificate."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.store.redis.connection import RedisAway, open_redis
from tests.store.redis.gate import Gate, open_gate


def make_certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a self-signed certificate for localhost, and the context of a server that has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "server.crt", directory / "server.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_path, key_path)
    return certificate_path, context


@pytest.fixture
async def gate(redis_url: str, tmp_path: Path) -> AsyncIterator[Gate]:
    certificate, context = make_certificate(tmp_path)
    async with open_gate(redis_url, tmp_path, context) as gate:
        gate.certificate = certificate
        yield gate


async def test_values_of_every_size_pass_through_tls(gate: Gate) -> None:
    async with open_redis(f"{gate.url}?ssl_ca_certs={gate.certificate}") as redis:

        async def store(number: int) -> None:
            value = bytes([number]) * (1 << number)
            await redis.set(f"key:{number}", value)
            assert await redis.get(f"key:{number}") == value

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for number in range(21):
                    nursery.start_soon(store, number)


async def test_a_cut_connection_is_made_again_through_tls(gate: Gate) -> None:
    async with open_redis(f"{gate.url}?ssl_ca_certs={gate.certificate}") as redis:
        await redis.set("key", "value")
        gate.cut()
        await redis.wait_lost()
        assert await redis.get("key") == b"value"


async def test_a_server_with_an_unknown_certificate_is_not_talked_to(gate: Gate) -> None:
    with pytest.raises(RedisAway) as caught:
        async with open_redis(gate.url):
            pytest.fail("it connected")
    assert "certificate verify failed" in caught.value.reason


async def test_a_server_with_another_name_is_not_talked_to_unless_names_do_not_matter(gate: Gate) -> None:
    url = gate.url.replace("localhost", "127.0.0.2")
    gate_url = gate.url.replace("localhost", "127.0.0.1") + f"?ssl_ca_certs={gate.certificate}"
    async with open_redis(gate_url) as redis:
        assert await redis.ping() is True
    with pytest.raises(RedisAway):
        async with open_redis(f"{url}?ssl_ca_certs={gate.certificate}"):
            pytest.fail("it connected")
    async with open_redis(f"{gate.url}?ssl_cert_reqs=none") as redis:
        assert await redis.ping() is True
