"""SMTP replies on the wire: written by the server, read by the client.

RFC 5321 §4.2 (form), §4.2.1 (several lines), RFC 2034 (the enhanced status code
stands on every line).  The noun is `Reply`: `text` holds its lines, parted by LF.

Fails: `ReplyReader.take` raises ProtocolError for what is no reply, for more than
100 lines, and for lines above 2,048 octets.
"""

from __future__ import annotations

import functools
import re

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.lines import Lines

LINES_MAX = 100
LINE_MAX = 2048  # octets; RFC 5321 §4.5.3.1.5 says 512, peers with long links in them do not
_LINE = re.compile(r"([2-5]\d\d)([ -]|\Z)(.*)", re.S)
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |\Z)")


@functools.lru_cache(maxsize=512)  # the same few answers all day
def encode(reply: Reply, utf8: bool = False) -> bytes:
    """The bytes of a reply; what is not ASCII becomes "?" unless the peer asked for UTF-8."""
    lines = reply.lines
    last = len(lines) - 1
    charset = "utf-8" if utf8 else "ascii"
    return b"".join(
        _line(reply, "-" if at < last else " ", text).encode(charset, "replace")
        for at, text in enumerate(lines)
    )


def _line(reply: Reply, mark: str, text: str) -> str:
    words = f"{reply.enhanced} {text}".strip()
    return f"{reply.code}{mark}{words}\r\n"


class ReplyReader:
    """Feed bytes, take whole replies."""

    __slots__ = ("_code", "_lines", "_texts")

    def __init__(self) -> None:
        self._lines = Lines(LINE_MAX)
        self._code = ""
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._lines) + len(self._texts)

    def feed(self, data: bytes) -> None:
        """Add what came from the wire."""
        self._lines.feed(data)

    def take(self) -> Reply | None:
        """The next whole reply, or None while more must come."""
        while (line := self._lines.take()) is not None:
            found = _LINE.fullmatch(line.decode("utf-8", "replace"))
            if not found or (self._code and found[1] != self._code):
                raise ProtocolError("the server's reply is none")
            self._code = found[1]
            self._texts.append(found[3])
            if found[2] != "-":
                return self._finished()
            if len(self._texts) >= LINES_MAX:
                raise ProtocolError(f"a reply of more than {LINES_MAX} lines")
        return None

    def _finished(self) -> Reply:
        code, texts = self._code, self._texts
        self._code, self._texts = "", []
        found = _ENHANCED.match(texts[0])
        if not found or found[1][0] != code[0]:
            return Reply(int(code), "", "\n".join(texts))
        prefix = found[1]
        return Reply(int(code), prefix, "\n".join(t.removeprefix(prefix).lstrip() for t in texts))
