"""Texts of JSON in a stream of bytes: one a line, indented over many lines, or the data of server-sent events.

Which of them a line belongs to shows by its beginning. Lines end with LF, CRLF or CR, and a stream may begin with a
byte order mark: the WHATWG's standard of server-sent events has readers take all of that, and it is harmless elsewhere.
"""

from typing import Final

from attrs import define, field

from orchestrator.clients.transport.json_text import BYTE_ORDER_MARK

Text = tuple[bytes, str]
"""A text of JSON, and the name of the event that it is the data of; empty: of none."""
_EVENT_FIELDS: Final = frozenset({b"", b"data", b"event", b"id", b"retry"})
"""Fields of server-sent events; that of a comment has no name."""
_ENDS_ALL: Final = b"[DONE]"
"""What some services send last, instead of JSON."""
_KEEP_ALIVE: Final = frozenset({"ping", "heartbeat", "keep-alive", "keepalive"})
"""Events whose data need not be JSON."""
_OBJECTS: Final = (b"{", b"[")


@define(eq=False)
class JsonTexts:
    """Cuts a stream into texts of JSON, as soon as each is whole. It does no I/O, and reads none of them."""

    rest: bytes = b""
    """The beginning of a line whose end has not come."""
    held: int = 0
    """Bytes of whole lines that belong to a text whose end has not come."""
    _open: list[bytes] = field(factory=list)
    """Lines of an indented text."""
    _depth: int = 0
    """Brackets of it that are open."""
    _data: list[bytes] = field(factory=list)
    _event: str = ""
    _has_events: bool = False
    _begun: bool = False
    _after_return: bool = False

    def feed(self, piece: bytes) -> list[Text]:
        """Take the next bytes, and return the texts that they complete."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_return = piece.endswith(b"\r")
        whole = self.rest + piece
        if b"\r" in whole:
            whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self.rest = whole.split(b"\n")
        return self._take(lines)

    def end(self) -> list[Text]:
        """Return what is left when the stream has ended: a last line, or a text that was cut off."""
        last, self.rest = self.rest, b""
        found = self._take([last, b""])
        if self._open:
            found.append(self._close())
        return found

    def _take(self, lines: list[bytes]) -> list[Text]:
        if lines and not self._begun:
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            self._begun = True
        found: list[Text] = []
        for line in lines:
            # As most lines are: a whole text, which is told from a bracket that opens an indented one by what follows.
            if line.startswith(b'{"') and not self._open:
                found.append((line, ""))
            elif (text := self._line(line)) is not None:
                found.append(text)
        return found

    def _line(self, line: bytes) -> Text | None:
        bare = line.strip()
        if self._open or (bare.startswith(_OBJECTS) and not bare.strip(b"[{ \t")):
            return self._indented(line)
        if not bare:
            return self._dispatch()
        name, colon, value = line.partition(b":")
        if name in _EVENT_FIELDS and (colon or name):
            self._has_events = True
            return self._field(name, value.removeprefix(b" "))
        # A reader of events passes over the fields that it does not know.
        return None if self._has_events and not bare.startswith(_OBJECTS) else (bare, "")

    def _indented(self, line: bytes) -> Text | None:
        self._open.append(line)
        self.held += len(line)
        self._depth += _depth(line)
        return self._close() if self._depth <= 0 else None

    def _close(self) -> Text:
        text = b"\n".join(self._open)
        self._open, self._depth, self.held = [], 0, 0
        return text, ""

    def _field(self, name: bytes, value: bytes) -> Text | None:
        if name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"data" and value.strip() != _ENDS_ALL:
            if not self._data and value.startswith(b"{") and _depth(value) == 0:
                # It is whole: not all services send the empty line that ends an event.
                return value, self._event
            self._data.append(value)
            self.held += len(value)
        return None

    def _dispatch(self) -> Text | None:
        """End an event, as an empty line does."""
        data, event = b"\n".join(self._data).strip(), self._event
        self._event = ""
        if self._data:
            self._data, self.held = [], 0
        needless = event.lower() in _KEEP_ALIVE and not data.startswith(_OBJECTS)
        return (data, event) if data and not needless else None


def _depth(line: bytes) -> int:
    """Return how many brackets a part of a JSON text opens and does not close; strings do not go over its end."""
    bare = b"".join(line.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
