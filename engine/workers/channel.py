"""The talk between the supervisor and its children: one JSON object a line.

    {"ask": 7, "what": "metrics"}   wants an answer      {"answer": 7, "data": …}
    {"tell": "beat", "data": …}     wants none

The supervisor's end never waits: what a child does not take, because it hangs, is dropped with
the child.  A child's end is asyncio's.

Fails: never; a peer that is gone, or talks nonsense, is an end of the talk.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

LINE_MAX = 16 << 20  # octets; the metrics of a busy worker take some 200 KB
Data = Any
Message = dict[str, Any]


def packed(message: Message) -> bytes:
    """A line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Octets in, messages out."""

    def __init__(self, begun: bytes = b"") -> None:
        self._waiting = bytearray(begun)

    @property
    def begun(self) -> bytes:
        """The line that is not whole yet."""
        return bytes(self._waiting)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now; ValueError for what is none."""
        self._waiting += data
        if len(self._waiting) > LINE_MAX:
            raise ValueError("a line without an end")
        *lines, rest = self._waiting.split(b"\n")
        self._waiting = bytearray(rest)
        return [_read(bytes(line)) for line in lines]


def _read(line: bytes) -> Message:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("no message")
    return found


class SupervisorEnd:
    """Reads and writes without waiting; `halves` as its predecessor left them."""

    def __init__(self, sock: socket.socket, halves: tuple[bytes, bytes] = (b"", b"")) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._lines = Lines(halves[0])
        self._unsent = bytearray(halves[1])

    @property
    def halves(self) -> tuple[bytes, bytes]:
        """What has been read of a message, and what has yet to be sent."""
        return self._lines.begun, bytes(self._unsent)

    def fileno(self) -> int:
        """For a selector."""
        return self.sock.fileno()

    def read(self) -> list[Message] | None:
        """What has come; None when the talk is over."""
        try:
            data = self.sock.recv(1 << 18)
            return self._lines.feed(data) if data else None
        except BlockingIOError:
            return []
        except (OSError, ValueError):
            return None

    def send(self, message: Message) -> None:
        """Send what can be sent; the rest goes with the next one."""
        self._unsent += packed(message)
        self.flush()

    @property
    def unsent(self) -> bool:
        """Whether the child has yet to take something."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Try again."""
        while self._unsent:
            try:
                sent = self.sock.send(self._unsent)
            except BlockingIOError:
                break
            except OSError:
                self._unsent.clear()  # it is gone; `read` says so
                break
            del self._unsent[:sent]
        if len(self._unsent) > LINE_MAX:
            self._unsent.clear()

    def close(self) -> None:
        """End the talk."""
        self.sock.close()


Answer = Callable[[str, Data], Awaitable[Data]]


class ChildEnd:
    """A child's end; `answer` is asked what the supervisor wants to know."""

    def __init__(self, sock: socket.socket, answer: Answer) -> None:
        self._sock = sock
        self._answer = answer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Data]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter
        self.over = asyncio.Event()  # the supervisor is gone

    async def run(self) -> None:
        """Talk until the supervisor is gone."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._sock, limit=LINE_MAX)
        self._listener = asyncio.get_running_loop().create_task(self._listen(reader))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._hear(_read(line))
        except (OSError, ValueError):
            pass
        self.over.set()
        for waiting in self._waiting.values():
            waiting.cancel()

    def _hear(self, message: Message) -> None:
        if "answer" in message:
            waiting = self._waiting.pop(message["answer"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message.get("data"))
        elif "ask" in message:
            task = asyncio.get_running_loop().create_task(self._reply(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reply(self, message: Message) -> None:
        data = await self._answer(message["what"], message.get("data"))
        self._send({"answer": message["ask"], "data": data})

    def tell(self, what: str, data: Data = None) -> None:
        """Say something."""
        self._send({"tell": what, "data": data})

    async def ask(self, what: str, data: Data = None) -> Data:
        """Ask something; CancelledError when the supervisor is gone."""
        number = next(self._numbers)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self._send({"ask": number, "what": what, "data": data})
        return await waiting

    def _send(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(packed(message))

    async def close(self) -> None:
        """Send what is left, and end the talk."""
        self._listener.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
