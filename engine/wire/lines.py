"""Lines: a byte stream cut at CRLF, and at nothing else.

RFC 5321 §2.3.8: "conforming implementations MUST NOT recognize or generate any
other character or character sequence as a line terminator".  A lone CR or LF is
how one hop's text becomes the next hop's command, so it is an error here.

A line is judged when its LF is there, or when `limit` octets came without one:
the same bytes give the same lines, however they were cut on the way.

Fails: ProtocolError for a bare CR or LF, and for a line above the limit; what is
buffered is then of no use, and the connection should end.
"""

from __future__ import annotations

from millrace.engine.errors import ProtocolError


class Lines:
    """Feed bytes, take lines; `limit` counts octets with the CRLF."""

    __slots__ = ("_buffer", "limit")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self.limit = limit

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what came from the wire."""
        self._buffer += data

    def take(self) -> bytes | None:
        """The next line without its CRLF, or None when it is not whole yet."""
        end = self._buffer.find(b"\n", 0, self.limit)
        if end < 0:
            if len(self._buffer) >= self.limit:
                raise ProtocolError(f"a line longer than {self.limit} octets")
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n") or line.count(b"\r") != 1:
            raise ProtocolError("a bare CR or LF in a line")
        return line[:-2]

    def rest(self) -> bytes:
        """All that was not cut yet; the buffer is empty afterwards."""
        left = bytes(self._buffer)
        self._buffer.clear()
        return left
