"""What secures connections: authorities that are trusted, and the certificate of this client."""

import os
from typing import TYPE_CHECKING, Final

from attrs import frozen

from cli.http.errors import InvalidRequest

if TYPE_CHECKING:
    import ssl


@frozen
class TlsFiles:
    """Files in PEM; empty: none."""

    ca_cert: str = ""
    """The authorities that are trusted; empty: those of the system and of Mozilla's list."""
    client_cert: str = ""
    """The certificate that a listener asks of clients, with its chain."""
    client_key: str = ""
    """Its private key; empty: it stands in the same file."""


NO_FILES: Final = TlsFiles()


def tls_context(files: TlsFiles) -> "ssl.SSLContext":
    """Return the context of connections.

    Raises:
        InvalidRequest: a file can't be read, or is none of certificates or keys.
    """
    import ssl  # noqa: PLC0415 - plain HTTP need not wait for its import

    try:
        context = ssl.create_default_context(cafile=files.ca_cert or None)
        if not (files.ca_cert or "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ):
            import certifi  # noqa: PLC0415 - loading its list takes longer than a request, which plain HTTP need not cost

            context.load_verify_locations(certifi.where())
        if files.client_cert:
            # Without a password: a key that has one would stop the command to ask for it.
            context.load_cert_chain(files.client_cert, files.client_key or None, password="")
    except (OSError, ValueError) as error:
        names = ", ".join(name for name in (files.ca_cert, files.client_cert, files.client_key) if name)
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidRequest(f"{names} can't be used: {reason}") from None
    return context
