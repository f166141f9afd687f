"""The listener of the internal routes, which asks for client certificates (mutual TLS)."""

from copy import copy
from ssl import CERT_REQUIRED

from hypercorn.config import Config


def internal_config(config: Config, *, bind: str, certfile: str, keyfile: str, ca_certs: str) -> Config:
    """Return where that listener is and how it encrypts; all else is as in `config`.

    Args:
        config: of the public listener.
        bind: `HOST:PORT`, or `fd://N`.
        certfile: its certificate, in PEM.
        keyfile: the private key of that, in PEM.
        ca_certs: the authorities whose client certificates are taken, in PEM.
    """
    internal = copy(config)
    internal.bind = [bind]
    internal.insecure_bind = []
    internal.quic_bind = []
    internal.certfile, internal.keyfile, internal.keyfile_password = certfile, keyfile, None
    internal.ca_certs = ca_certs
    internal.verify_mode = CERT_REQUIRED
    return internal
