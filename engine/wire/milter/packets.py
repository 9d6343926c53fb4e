"""Packets: a length of four bytes, a command byte, and what belongs to it.

Both roles cut their stream with this.  However the bytes arrive, the packets are the
same; what is held back is at most one incomplete packet.

Fails: never by raising; what is wrong with the stream stands in `error`, after the
packets that came before it.
"""

from __future__ import annotations

from struct import Struct

from millrace.engine.errors import ProtocolError
from millrace.engine.wire.milter.codes import PACKET_MAX

HEAD = Struct(">IB")
LONG = Struct(">I")


def packet(command: int, payload: bytes = b"") -> bytes:
    """One packet as it goes out."""
    return HEAD.pack(len(payload) + 1, command) + payload


class Packets:
    """Cuts a stream into (command byte, payload) pairs; linear in the bytes received."""

    __slots__ = ("_held", "_limit", "_need", "error")

    def __init__(self, limit: int = PACKET_MAX) -> None:
        self.error: ProtocolError | None = None
        self._held = bytearray()
        self._need = HEAD.size
        self._limit = limit

    def cut(self, data: bytes | bytearray | memoryview) -> list[tuple[int, bytes]]:
        """Take some bytes; give the packets that they complete, in order."""
        if self._held:
            self._held += data
            if len(self._held) < self._need:  # joined once a packet, not once a read
                return []
            data = self._held
        return self._complete(bytes(data))

    def _complete(self, data: bytes) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        head, limit, end = HEAD.unpack_from, self._limit, len(data)
        at, need = 0, HEAD.size
        while end - at >= need:
            size, command = head(data, at)
            if not 0 < size <= limit:
                self.error = _bad_size(size, limit)
                return found
            stop = at + 4 + size
            if stop > end:
                need = 4 + size
                break
            found.append((command, data[at + 5 : stop]))
            at = stop
        self._held, self._need = bytearray(data[at:]), need
        return found


def _bad_size(size: int, limit: int) -> ProtocolError:
    if not size:
        return ProtocolError("A milter packet has no command")
    return ProtocolError(f"A milter packet of {size} bytes is above the limit of {limit}")
