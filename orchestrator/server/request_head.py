"""What the head of a request must be before the application sees it (RFC 9112, and RFC 6455 for handshakes).

h11 parses the head and refuses most of what is malformed. What it lets through is refused here: framing that two
parties may read in two ways, targets that are no path, and handshakes that RFC 6455, section 4.2.1, forbids.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from typing import Final

import h11

from orchestrator.server.refusals import HEAD_TOO_LARGE, Refusal

Header = tuple[bytes, bytes]

_FRAMING: Final = re.compile(rb"(?im)^(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*)")
_AUTHORITY: Final = rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::[0-9]*)?"
_ABSOLUTE: Final = re.compile(rb"https?://" + _AUTHORITY + rb"((?:[/?#].*)?)", re.IGNORECASE)
_HOST: Final = re.compile(rb"(?:" + _AUTHORITY + rb")?")
_KEY_BYTES: Final = 16
_VERSION: Final = b"13"
_VERSION_HEADER: Final = ((b"sec-websocket-version", _VERSION),)
_LISTS: Final = frozenset({b"connection", b"sec-websocket-extensions", b"sec-websocket-protocol", b"upgrade"})
"""Headers of a handshake whose lines together are one list (RFC 9110, section 5.3)."""


def framing_fault(head: bytes) -> Refusal | None:
    """Refuse a head whose length of the body stands in it more than once.

    Args:
        head: as it came; h11 merges equal lengths, and so does not show them.
    """
    lines = _FRAMING.findall(head)
    if len(lines) > 1:
        return Refusal(400, "The length of the body stands in the request more than once.")
    if lines and b"," in lines[0][1]:
        return Refusal(400, f"The header {lines[0][0].decode().title()} has more than one value.")
    return None


def size_fault(received: bytearray, most_bytes: int, most_lines: int) -> Refusal | None:
    """Refuse a head that is too large, before it is parsed: each of its lines costs.

    Args:
        received: the head, as far as it has come, and maybe what came behind it.
        most_bytes: that it may have.
        most_lines: header lines that it may have.
    """
    ends = [end for end in (received.find(b"\n\r\n"), received.find(b"\n\n")) if end >= 0]
    end = min(ends, default=len(received))
    return HEAD_TOO_LARGE if end > most_bytes or received.count(b"\n", 0, end) > most_lines else None


def head_fault(request: h11.Request) -> Refusal | None:
    """Refuse a head that h11 takes, and that no application should see."""
    if request.http_version not in {b"1.0", b"1.1"}:
        return Refusal(400, "The server speaks HTTP/1.1.")
    if request.http_version == b"1.0" and _values(request.headers, b"transfer-encoding"):
        return Refusal(400, "HTTP/1.0 knows no Transfer-Encoding.")
    if request.method == b"CONNECT":
        return Refusal(405, "The server is no proxy.", ((b"allow", b"GET, POST, PUT, DELETE, OPTIONS, HEAD"),))
    path = target_path(request)
    if path is None:
        return Refusal(400, "The target of the request is neither a path nor a URL.")
    # The framework takes any number of slashes for one; a proxy before the service may judge paths as they are written.
    if path.startswith(b"//"):
        return Refusal(404, "There is no path with an empty first segment.")
    if not all(_HOST.fullmatch(host) for host in _values(request.headers, b"host")):
        return Refusal(400, "The header Host names no host.")
    return None


def target_path(request: h11.Request) -> bytes | None:
    """Return path and query of a request's target, or None where it has none (RFC 9112, section 3.2)."""
    target: bytes = request.target
    if target.startswith(b"/") or (target == b"*" and request.method == b"OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return None
    path = absolute[1]
    return path if path.startswith(b"/") else b"/" + path


def is_handshake(request: h11.Request) -> bool:
    """Tell whether a request asks to go on as a WebSocket."""
    return (
        request.method == b"GET"
        and b"websocket" in _tokens(request.headers, b"upgrade")
        and b"upgrade" in _tokens(request.headers, b"connection")
    )


def handshake_fault(request: h11.Request) -> Refusal | None:
    """Refuse a handshake that is not as RFC 6455, section 4.2.1, wants it."""
    if request.http_version != b"1.1":
        return Refusal(400, "A WebSocket needs HTTP/1.1.")
    lengths = _values(request.headers, b"content-length") + _values(request.headers, b"transfer-encoding")
    if any(length != b"0" for length in lengths):
        return Refusal(400, "The handshake of a WebSocket has no body.")
    versions = _values(request.headers, b"sec-websocket-version")
    if len(versions) != 1:
        return Refusal(400, "The handshake needs the header Sec-WebSocket-Version once.", _VERSION_HEADER)
    if versions[0] != _VERSION:
        headers = ((b"upgrade", b"websocket"), *_VERSION_HEADER)
        return Refusal(426, "The server speaks version 13 of WebSocket.", headers)
    keys = _values(request.headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refusal(400, "The handshake needs the header Sec-WebSocket-Key once, 16 bytes in base64.")
    if not all(value.isascii() for name, value in request.headers if name in _LISTS):
        return Refusal(400, "The headers of the handshake hold characters beyond ASCII.")
    return None


def joined(headers: Iterable[Header]) -> list[Header]:
    """Return a handshake's headers as Hypercorn reads them: lists in one line, `Upgrade` without other tokens."""
    plain: list[Header] = []
    lists: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name.lower() in _LISTS:
            lists.setdefault(name.lower(), []).append(value)
        else:
            plain.append((name, value))
    lists[b"upgrade"] = [b"websocket"]
    return plain + [(name, b", ".join(values)) for name, values in lists.items()]


def _values(headers: Sequence[Header], name: bytes) -> list[bytes]:
    return [value for found, value in headers if found == name]


def _tokens(headers: Sequence[Header], name: bytes) -> set[bytes]:
    return {token.strip().lower() for value in _values(headers, name) for token in value.split(b",")}


def _is_key(key: bytes) -> bool:
    try:
        return len(b64decode(key, validate=True)) == _KEY_BYTES
    except Base64Error:
        return False
