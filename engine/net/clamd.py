"""The virus scanner: clamd, by INSTREAM over a Unix or TCP socket.

A mail that is short and in memory is sent from the loop in one write: a hop to a thread
and back costs more than the rest.  Longer ones go to a thread lane, where the clamd package
speaks the protocol and its sockets block.  It sends 1,024 octets at a time with `send`, which
may write a part only; here it gets a socket whose `send` sends all, and a reader that gives
64 KiB: a tenth of the cost.

Only an explicit OK means clean.

Fails: `Declined` for an error that clamd tells of one mail, `Unavailable` for everything else:
no socket, a time-out, a reply that is none.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import clamd

from millrace.engine.errors import Declined, Unavailable
from millrace.engine.mail.message import Message
from millrace.engine.ports import Scan

PIECE = 1 << 16
LANES = 8  # mails that are scanned at once, here and there; clamd's own MaxThreads is 10
SHORT = 1 << 17  # octets that a socket takes at once, more or less
QUEUE_S = 0.01  # between two tries at a socket whose queue is full
_REPLY_MAX = 4096
_LENGTH = struct.Struct(">I")


class ClamdScanner:
    """The Scanner port."""

    def __init__(self, lanes: int = LANES) -> None:
        self._lanes = ThreadPoolExecutor(lanes, thread_name_prefix="clamd")
        self._room = asyncio.Semaphore(lanes)

    async def scan(self, message: Message, socket: str, timeout: float) -> Scan:
        """Scan the whole mail; `socket` is a path, or `host:port`."""
        loop = asyncio.get_running_loop()
        if message.size <= SHORT and not message.body.spooled:
            try:
                async with asyncio.timeout(timeout), self._room:
                    return _read(await _asked(loop, bytes(message), socket), socket)
            except TimeoutError:
                raise Unavailable(f"clamd {socket}", "timed out") from None
            except _TROUBLE as error:
                raise Unavailable(f"clamd {socket}", _words(error)) from None
        return await loop.run_in_executor(self._lanes, _scan, message, socket, timeout)

    async def version(self, socket: str, timeout: float) -> str:
        """What clamd calls itself; raises `Unavailable` when it is away."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lanes, _version, socket, timeout)

    def close(self) -> None:
        """End the lanes."""
        self._lanes.shutdown(wait=False, cancel_futures=True)


def _scan(message: Message, where: str, timeout: float) -> Scan:
    try:
        answer = _client(where, timeout).instream(_Reader(message.chunks()))
    except clamd.BufferTooLongError:
        raise Declined(f"clamd {where}", "the mail is larger than its StreamMaxLength") from None
    except _TROUBLE as error:
        raise Unavailable(f"clamd {where}", _words(error)) from None
    status, name = (answer or {}).get("stream", ("", ""))
    return _judged(status, name, where)


async def _asked(loop: asyncio.AbstractEventLoop, mail: bytes, where: str) -> str:
    """Send a mail in one write, without leaving the loop; what clamd answers."""
    with _socket(where) as opened:
        opened.setblocking(False)
        await _reached(loop, opened, where)
        whole = (b"nINSTREAM\n", _LENGTH.pack(len(mail)), mail, _LENGTH.pack(0))
        await _sent(loop, opened, b"".join(whole))
        reply = b""
        while not reply.endswith(b"\n") and len(reply) < _REPLY_MAX:
            piece = await loop.sock_recv(opened, _REPLY_MAX)
            if not piece:
                break
            reply += piece
    return reply.decode().strip()


async def _reached(loop: asyncio.AbstractEventLoop, opened: socket.socket, where: str) -> None:
    if opened.family != socket.AF_UNIX:
        await loop.sock_connect(opened, _address(where))
        return
    while trouble := opened.connect_ex(where):  # at once, but for a clamd whose queue is full
        if trouble != errno.EAGAIN:
            raise OSError(trouble, os.strerror(trouble))
        await asyncio.sleep(QUEUE_S)


async def _sent(loop: asyncio.AbstractEventLoop, opened: socket.socket, data: bytes) -> None:
    try:
        sent = opened.send(data)  # mostly all of it
    except BlockingIOError:
        sent = 0
    if sent < len(data):
        await loop.sock_sendall(opened, memoryview(data)[sent:])


def _socket(where: str) -> socket.socket:
    if where.startswith("/"):
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    family = socket.AF_INET6 if where.count(":") > 1 else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def _address(where: str) -> str | tuple[str, int]:
    if where.startswith("/"):
        return where
    host, _, port = where.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


def _read(reply: str, where: str) -> Scan:
    found = clamd.scan_response.match(reply)
    if found is None or found["path"] != "stream":
        raise (Declined if reply.endswith("ERROR") else Unavailable)(
            f"clamd {where}", f"answered {reply}".strip()
        )
    return _judged(found["status"], found["virus"], where)


def _judged(status: str, name: str | None, where: str) -> Scan:
    if status == "OK":
        return Scan("", "clamd")
    if status == "FOUND" and name:
        return Scan(str(name), "clamd")
    if not status:
        raise Unavailable(f"clamd {where}", "answered nothing")
    raise Declined(f"clamd {where}", f"answered {status} {name or ''}".strip())


def _version(where: str, timeout: float) -> str:
    try:
        return str(_client(where, timeout).version())
    except _TROUBLE as error:
        raise Unavailable(f"clamd {where}", _words(error)) from None


def _words(error: Exception) -> str:
    plain = error.strerror if isinstance(error, OSError) else str(error)
    return plain or str(error) or type(error).__name__


# all that was seen to leave the package: its ConnectionError is no OSError
_TROUBLE = (clamd.ClamdError, OSError, ValueError, UnicodeDecodeError, TypeError, AttributeError)


class _WholeSends(socket.socket):
    """A socket whose `send` writes everything."""

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 - as the base has it
        self.sendall(data, flags)
        return len(data)


class _Unix(clamd.ClamdUnixSocket):  # type: ignore[misc]
    clamd_socket: socket.socket | None = None

    def _init_socket(self) -> None:
        opened = _WholeSends(socket.AF_UNIX, socket.SOCK_STREAM)
        self.clamd_socket = _connected(opened, self.unix_socket, self.timeout)

    def _close_socket(self) -> None:
        _close(self)


class _Tcp(clamd.ClamdNetworkSocket):  # type: ignore[misc]
    clamd_socket: socket.socket | None = None

    def _init_socket(self) -> None:
        family, kind, number, _, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM
        )[0]
        opened = _WholeSends(family, kind, number)
        self.clamd_socket = _connected(opened, address, self.timeout)

    def _close_socket(self) -> None:
        _close(self)


def _close(client: _Unix | _Tcp) -> None:
    # the package closes what it could not open, and its AttributeError would hide the reason
    if client.clamd_socket is not None:
        client.clamd_socket.close()


def _connected(opened: socket.socket, address: Any, timeout: float) -> socket.socket:  # noqa: ANN401
    opened.settimeout(timeout)
    try:
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


def _client(where: str, timeout: float) -> Any:  # noqa: ANN401 - one of the two above
    if where.startswith("/"):
        return _Unix(path=where, timeout=timeout)
    host, _, port = where.rpartition(":")
    return _Tcp(host=host.strip("[]") or "127.0.0.1", port=int(port), timeout=timeout)


class _Reader(io.RawIOBase):
    """The mail as a file; whatever is asked for, a large piece comes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        """The next piece, b"" at the end."""
        while not self._held:
            piece = next(self._chunks, None)
            if piece is None:
                return b""
            self._held = piece
        piece, self._held = self._held[:PIECE], self._held[PIECE:]
        return piece
