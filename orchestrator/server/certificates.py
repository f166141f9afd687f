"""The names in a client's certificate, whose chain the handshake has verified."""

from typing import Any


def subjects(certificate: dict[str, Any] | None) -> tuple[str, ...]:
    """Return what a certificate says of its holder: common name, names of hosts, URIs.

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` returns it; None: there is none.
    """
    if not certificate:
        return ()
    common = [value for names in certificate.get("subject", ()) for kind, value in names if kind == "commonName"]
    others = [value for kind, value in certificate.get("subjectAltName", ()) if kind in {"DNS", "URI"}]
    return tuple(dict.fromkeys([*common, *others]))
