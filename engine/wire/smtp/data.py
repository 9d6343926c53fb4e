r"""The mail data of SMTP: dots taken off on the way in, put on on the way out.

RFC 5321 §4.5.2 (transparency), §4.1.1.4 (only CRLF.CRLF ends the data), §2.3.8 (CR
and LF never alone).  Two hops that disagree about the end of a mail let a third
put its own commands between them ("SMTP smuggling"); so there is one end here,
and a mail with a bare CR or LF is marked as `faulty` and read on to that end.

Outgoing data with a bare CR or LF is refused, not repaired: what one hop takes for
a line end another takes for text, and a byte changed by us would break the
author's signature.

Fails: `DataWriter.write` raises ProtocolError for a bare CR or LF; nothing of that
piece is written, and the connection must end without the final dot.
"""

from __future__ import annotations

from millrace.engine.errors import ProtocolError

END = b"\r\n.\r\n"
_UNFINISHED = (END[:4], END[:3], END[:2], END[:1])


def bare(raw: bytes) -> bool:
    """Whether a CR or LF stands alone; by counts, which cost a fifth of a regular expression."""
    pairs = raw.count(b"\r\n")
    return raw.count(b"\r") != pairs or raw.count(b"\n") != pairs


class DataReader:
    """Reads the data of one mail; `faulty` once a bare CR or LF was seen."""

    __slots__ = ("_tail", "_virtual", "faulty", "size")

    def __init__(self) -> None:
        # the DATA line's own CRLF may begin the end mark: an empty mail is ".", CRLF
        self._tail = b"\r\n"
        self._virtual = 2
        self.faulty = False
        self.size = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take bytes; gives the mail's next piece, and what stands behind the end or None.

        `size` counts the octets of the mail so far.
        """
        raw = self._tail + data
        end = raw.find(END)
        if end >= 0:
            return self._unstuffed(raw[: end + 2]), raw[end + len(END) :]
        held = next((len(part) for part in _UNFINISHED if raw.endswith(part)), 0)
        self._tail = raw[len(raw) - held :]
        return self._unstuffed(raw[: len(raw) - held]), None

    def _unstuffed(self, raw: bytes) -> bytes:
        if not raw:
            return b""
        self.faulty = self.faulty or bare(raw)
        piece = raw.replace(b"\r\n.", b"\r\n")
        if self._virtual:
            piece = piece[self._virtual :]
            self._virtual = 0
        self.size += len(piece)
        return piece


class DataWriter:
    """Writes the data of one mail."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\r\n"  # at most two octets: enough to know a line's begin

    def write(self, chunk: bytes) -> bytes:
        """The bytes for the wire; a CR at the end waits for its LF."""
        if not chunk:
            return b""
        waiting = b"\r" if self._last.endswith(b"\r") else b""
        raw = waiting + chunk
        held = raw.endswith(b"\r")
        ready = raw[:-1] if held else raw
        if bare(ready):
            raise ProtocolError("the mail holds a bare CR or LF", "554 5.6.0 Bare CR or LF in mail")
        at_line_start = self._last.startswith(b"\r\n")
        stuffed = ready.replace(b"\r\n.", b"\r\n..")
        if at_line_start and ready.startswith(b"."):
            stuffed = b"." + stuffed
        self._remember(ready, at_line_start, held)
        return stuffed

    def _remember(self, ready: bytes, at_line_start: bool, held: bool) -> None:
        fresh = ready.endswith(b"\r\n") or (not ready and at_line_start)
        self._last = (b"\r\n" if fresh else b"") + (b"\r" if held else b"")

    def finish(self) -> bytes:
        """The end of the data; a last line without CRLF gets one (RFC 5321 §4.1.1.4)."""
        if self._last.endswith(b"\r"):
            raise ProtocolError("the mail ends in a bare CR", "554 5.6.0 Bare CR or LF in mail")
        return b".\r\n" if self._last == b"\r\n" else END
