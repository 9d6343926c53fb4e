r"""A message: header section and body, in memory or in a spool file.

RFC 5322 §2.1; line ends are CRLF from here inward.  A body below the spool limit
is bytes, above it an unlinked temporary file: a crash leaves nothing behind.

`Message.parse` and `chunks` give the same bytes back.

Who must read a whole body (a hash of it, say) may listen while it arrives, so that a mail of
50 MB is read once, in small pieces, and is ready at its end.  Small bodies are not listened
to: whoever wants to reads them when they are whole.

Fails: OSError when the spool's disk is full; callers turn it into a temporary answer.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import IO, Protocol

from millrace.engine.mail.amount import Octets
from millrace.engine.mail.headers import Headers, parse

SPOOL_ABOVE = 1 << 20  # bytes; larger bodies do not stay in memory
LISTEN_ABOVE = 1 << 18  # bytes; what is shorter takes less than a millisecond to read again
CHUNK = 1 << 16


class Listener(Protocol):
    """Something that hears a body go by."""

    def update(self, chunk: bytes) -> None:
        """Take the next piece."""
        ...

    def result(self) -> object:
        """What came of it; called once, at the end."""
        ...


Listening = Callable[[], Mapping[Hashable, Listener]]


def nobody() -> Mapping[Hashable, Listener]:
    """Nobody listens."""
    return {}


class Body:
    """The bytes after the empty line; read as often as wanted.

    `heard` keeps what was made of the whole body, by listeners or by who read it first.
    """

    __slots__ = ("_data", "_file", "heard", "size")

    def __init__(self, data: bytes = b"", spool: IO[bytes] | None = None, size: int = 0) -> None:
        self._data = data
        self._file = spool
        self.size = size if spool is not None else len(data)
        self.heard: dict[Hashable, object] = {}

    def __del__(self) -> None:
        if self._file is not None:  # a spool file ends with its last reader
            self._file.close()

    @property
    def spooled(self) -> bool:
        """Whether it lies in a file."""
        return self._file is not None

    def head(self, limit: int) -> bytes:
        """At most the first `limit` bytes."""
        if self._file is None:
            return self._data if len(self._data) <= limit else self._data[:limit]
        return b"".join(self._pieces(min(limit, self.size), CHUNK))

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The whole body in pieces; a body in memory is one piece if it is not long."""
        if self._file is None:
            if len(self._data) <= size * 4:
                if self._data:
                    yield self._data
                return
            for at in range(0, len(self._data), size):
                yield self._data[at : at + size]
            return
        yield from self._pieces(self.size, size)

    def _pieces(self, limit: int, size: int) -> Iterator[bytes]:
        assert self._file is not None
        descriptor, at = self._file.fileno(), 0
        while at < limit:  # by position: several threads may read at once
            piece = os.pread(descriptor, min(size, limit - at), at)
            if not piece:
                return
            at += len(piece)
            yield piece

    def __bytes__(self) -> bytes:
        return self.head(self.size)


class BodyWriter:
    """Collects a body while it arrives."""

    __slots__ = ("_directory", "_file", "_limit", "_listen", "_listeners", "_parts", "size")

    def __init__(
        self,
        spool_above: int = SPOOL_ABOVE,
        directory: str | None = None,
        listen: Listening = nobody,
    ) -> None:
        self._listen: Listening | None = listen
        self._listeners: Mapping[Hashable, Listener] = {}
        self._parts: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._limit = spool_above
        self._directory = directory
        self.size = 0

    def __del__(self) -> None:
        if self._file is not None:  # the mail was aborted
            with contextlib.suppress(OSError):  # what a full disk had no room for
                self._file.close()

    def write(self, chunk: bytes) -> None:
        """Add a piece; moves to a file when the limit is passed."""
        self.size += len(chunk)
        for listener in self._listeners.values():
            listener.update(chunk)
        if self._file is not None:
            self._file.write(chunk)
            return
        self._parts.append(chunk)
        if self._listen is not None and self.size > min(self._limit, LISTEN_ABOVE):
            self._begin_to_listen(self._listen)
        if self.size > self._limit:
            self._file = tempfile.TemporaryFile(dir=self._directory, prefix="millrace-")  # noqa: SIM115
            self._file.writelines(self._parts)
            self._parts = []

    def _begin_to_listen(self, listen: Listening) -> None:
        self._listen, self._listeners = None, listen()
        for listener in self._listeners.values():
            for part in self._parts:
                listener.update(part)

    def finish(self) -> Body:
        """The body as it is now; the writer is spent."""
        body = self._whole()
        body.heard.update((key, each.result()) for key, each in self._listeners.items())
        return body

    def _whole(self) -> Body:
        if self._file is not None:
            self._file.flush()
            spool, self._file = self._file, None
            return Body(spool=spool, size=self.size)
        return Body(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))


class Message:
    """Headers and body; `separator` is the empty line between, b"" if it was forgotten."""

    __slots__ = ("body", "headers", "separator")

    def __init__(self, headers: Headers, body: Body, separator: bytes = b"\r\n") -> None:
        self.headers = headers
        self.body = body
        self.separator = separator

    @staticmethod
    def parse(raw: bytes) -> Message:
        """Split whole bytes at the first empty line."""
        fields, at, separator = parse(raw)
        return Message(Headers(fields), Body(raw[at:]), separator)

    @property
    def size(self) -> Octets:
        """Octets on the wire."""
        return Octets(len(self.headers.raw) + len(self.separator) + self.body.size)

    def chunks(self) -> Iterator[bytes]:
        """The whole message, header section first."""
        yield self.headers.raw + self.separator
        yield from self.body.chunks()

    def __bytes__(self) -> bytes:
        return b"".join(self.chunks())
