"""Intake: the octets of a mail become a Message while they arrive.

RFC 5322 §2.1.  The header section is kept in memory until its end is there, the body
goes to a BodyWriter, which moves large ones to disk and lets listeners hear them.

Fails: `write` raises ProtocolError for a header section above 1 MiB, OSError when the
spool's disk is full.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.headers import Headers, parse
from millrace.engine.mail.message import SPOOL_ABOVE, BodyWriter, Listener, Message, nobody

HEAD_MAX = 1 << 20
Listen = Callable[[Headers], Mapping[Hashable, Listener]]
_BLANK = b"\r\n\r\n"


class Intake:
    """One mail; `write` its pieces, then `finish`."""

    __slots__ = ("_body", "_head", "_headers", "_listen", "_separator")

    def __init__(
        self, spool_above: int = SPOOL_ABOVE, listen: Listen = lambda _headers: nobody()
    ) -> None:
        self._listen = listen
        self._head = bytearray()
        self._headers: Headers | None = None
        self._separator = b""
        self._body = BodyWriter(spool_above, listen=self._listeners)

    def write(self, chunk: bytes) -> None:
        """Add a piece, CRLF line ends, cut anywhere."""
        if self._headers is not None:
            self._body.write(chunk)
            return
        seen = max(len(self._head) - len(_BLANK) + 1, 0)
        self._head += chunk
        if self._head.find(_BLANK, seen) >= 0:
            self._split()
        elif len(self._head) > HEAD_MAX:
            raise ProtocolError("no end of the header section", "552 5.3.4 Header section too big")

    def finish(self) -> Message:
        """The mail as it came."""
        if self._headers is None:
            self._split()
        return Message(self._headers or Headers(), self._body.finish(), self._separator)

    def _listeners(self) -> Mapping[Hashable, Listener]:
        return self._listen(self._headers or Headers())

    def _split(self) -> None:
        head = bytes(self._head)
        fields, at, self._separator = parse(head)
        self._headers = Headers(fields)
        self._head.clear()
        if at < len(head):
            self._body.write(head[at:])
