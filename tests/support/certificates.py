"""Authorities of the tests, and the certificates that they sign."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = timedelta(hours=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@frozen
class Authority:
    """A certificate authority; its files stand in a directory.

    Args:
        directory: where.
        name: of the authority, and of its file.
    """

    directory: Path
    name: str = "ca"
    key: ec.EllipticCurvePrivateKey = field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __attrs_post_init__(self) -> None:
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        built = self._builder(self.name, self.key, HOUR)
        built = built.add_extension(constraints, critical=True).add_extension(usage, critical=True)
        self.file.write_bytes(built.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))

    @property
    def file(self) -> Path:
        """Its own certificate."""
        return self.directory / f"{self.name}.crt"

    def sign(
        self, common: str, *, hosts: Sequence[str] = (), uris: Sequence[str] = (), lives: timedelta = HOUR
    ) -> tuple[Path, Path]:
        """Make a certificate; returns its file and that of its private key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*map(x509.DNSName, hosts), *map(x509.UniformResourceIdentifier, uris)]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        built = self._builder(common, key, lives).add_extension(usage, critical=False)
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = built.sign(self.key, hashes.SHA256())
        stem = f"{self.name}-{common.replace('/', '-')}-{certificate.serial_number}"
        files = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return a client's context, which trusts this authority's servers."""
        context = ssl.create_default_context(cafile=self.file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    def _builder(self, common: str, key: ec.EllipticCurvePrivateKey, lives: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder(_name(self.name), _name(common), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - 2 * HOUR)
            .not_valid_after(now + lives)
            .add_extension(own, critical=False)
            .add_extension(signer, critical=False)
        )
