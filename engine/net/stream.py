"""Stream: the bytes of one connection, read and written under limits.

An `asyncio.BufferedProtocol` with one buffer for all connections of a thread: asyncio's
own streams allocate 256 KiB for each read, this is three times as quick.

STARTTLS is safe both ways (RFC 3207 §4.2).  A server calls `hold` before it writes its
220, so that the client's first TLS bytes stay in the kernel until the handshake reads
them; and text that came behind STARTTLS is still `pending`, which `start_tls` refuses.

A server that stops calls `retire`: where the connection is `at_rest`, between two mails,
`read` then gives b"" as if the peer had ended; elsewhere it does once it is at rest.

A server calls `begin` where the peer begins to say something (a command, a packet, a request):
it must be whole within `idle` seconds, and gets more time only as octets come, so that nobody
holds a connection by one octet now and then.  Without `begin` each read has `idle` seconds.

Fails: `read` and `drain` raise TimeoutError after `idle` seconds; `drain` raises
ConnectionError when the peer is gone; `read` then gives b"".  `start_tls` raises
ProtocolError, `connect` raises Unavailable.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import cast

from millrace.engine.errors import ProtocolError, Unavailable
from millrace.engine.mail.session import Peer, Tls
from millrace.engine.net.endpoint import Endpoint

CHUNK = 1 << 16  # octets of one read
HIGH_WATER = 1 << 17  # octets received and not taken, above which reading stops
HANDSHAKE_S = 20.0
RATE_MIN = 500  # octets a second: what buys a slow peer more time
LINGER_S = 1.0
LINGER_MAX = 1 << 20
_QUICKACK = getattr(socket, "TCP_QUICKACK", 0)  # Linux alone has it

_local = threading.local()


def _buffer() -> memoryview:
    # asyncio fills and hands over in one step, so one buffer serves all of a loop's streams
    view: memoryview | None = getattr(_local, "view", None)
    if view is None:
        view = _local.view = memoryview(bytearray(CHUNK))
    return view


class Stream(asyncio.BufferedProtocol):
    """One connection; `idle` is how long, in seconds, a read or a drain may take."""

    def __init__(self, idle: float, opened: Callable[[Stream], None] | None = None) -> None:
        self.idle = idle
        self.peer = Peer("")
        self.tls: Tls | None = None
        self.at_rest = False  # nothing would be lost if the connection ended now
        self.retired = False
        self._opened = opened
        self._until = 0.0  # when what the peer says must be whole; 0 for no such bound
        self._transport: asyncio.Transport  # from connection_made on
        self._loop = asyncio.get_running_loop()
        self._view = _buffer()
        self._chunks: list[bytes] = []
        self._size = 0
        self._held = False
        self._ended = False
        self._full = False  # the kernel takes no more of ours for now
        self._answered = False  # something was written since the last read
        self._discarded = -1  # octets thrown away while closing
        self._reader: asyncio.Future[None] | None = None
        self._drainer: asyncio.Future[None] | None = None
        self._due: dict[asyncio.Future[None], float] = {}  # until when who waits is patient
        self._timer: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()

    # --- reading

    @property
    def pending(self) -> int:
        """Octets that came and were not read."""
        return self._size

    def begin(self) -> None:
        """The peer has been heard to the end of what it said: its time begins anew."""
        self._until = self._loop.time() + self.idle

    async def read(self) -> bytes:
        """What came since the last read, at least one octet; b"" when the peer has ended."""
        if not self._chunks and not self._ended and not self._resting:
            self._reader = self._loop.create_future()
            await self._within(self._reader, self._until)
        if self._until:
            ever = self._until + self._size / RATE_MIN
            self._until = min(ever, self._loop.time() + self.idle)
        if self._resting:
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._answered = False
        paused = self._size >= HIGH_WATER
        self._size = 0
        if paused and not self._held:
            self._transport.resume_reading()
        return data

    def acknowledge(self) -> None:
        """Let a TCP peer know at once that its octets came, where no answer will tell it.

        A peer that sends small pieces and gets no answers waits for the kernel's delayed
        ACK otherwise, 40 ms each time (RFC 896 on its side, RFC 1122 §4.2.3.2 on ours).
        """
        if self._answered or self._lost.done() or not self.peer.ip or not _QUICKACK:
            return
        # borrowed, since uvloop's own object for the socket has no options
        descriptor = self._transport.get_extra_info("socket").fileno()
        borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
        try:
            borrowed.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except OSError:
            pass  # it is gone: the next read says so
        finally:
            borrowed.detach()

    def retire(self) -> None:
        """End as soon as the connection is at rest."""
        self.retired = True
        if self.at_rest:
            _wake(self._reader)

    @property
    def _resting(self) -> bool:
        return self.retired and self.at_rest

    def hold(self) -> None:
        """Leave what comes from now on to the kernel, until `start_tls`."""
        self._held = True
        self._transport.pause_reading()

    # --- writing

    def write(self, data: bytes) -> None:
        """Send, or queue; follow with `drain` before writing more."""
        if data and not self._transport.is_closing():
            self._answered = True
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written."""
        if self._lost.done():
            raise ConnectionError(f"{self.peer.ip or 'the peer'} is gone")
        if self._full:
            self._drainer = self._loop.create_future()
            await self._within(self._drainer)

    async def send(self, data: bytes) -> None:
        """`write` and `drain`."""
        self.write(data)
        await self.drain()

    # --- TLS and the end

    async def start_tls(self, context: ssl.SSLContext, *, server_name: str | None = None) -> None:
        """Shake hands; a `server_name` makes us the client."""
        if self._size:
            raise ProtocolError("text was sent in clear behind STARTTLS")
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_side=server_name is None,
                server_hostname=server_name,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=LINGER_S,
            )
        except (OSError, ssl.CertificateError) as error:
            raise ProtocolError(f"no TLS: {error}") from error
        if transport is None:
            raise ProtocolError("no TLS: the peer is gone")
        self._transport = transport
        self._held = False
        self.tls = _tls(transport.get_extra_info("ssl_object"))

    async def close(self) -> None:
        """End: what was written is sent, what still comes is thrown away for a second.

        A socket closed with unread octets resets the connection, and the peer loses the
        last reply: the very one that told it why.
        """
        if not self._lost.done() and not self._transport.is_closing():
            self._chunks.clear()
            self._size = 0
            self._discarded = 0
            self._farewell()
            await asyncio.wait((self._lost,), timeout=LINGER_S)
        self.abort()

    def hang_up(self) -> None:
        """End, after a farewell of the peer's: it waits for nothing and reads no more."""
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        if not self._lost.done():
            self._transport.abort()

    def _farewell(self) -> None:
        if self._ended or self.tls is not None or not self._transport.can_write_eof():
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the peer has reset the connection, and we were not told yet
            self._transport.close()
        else:
            self._transport.resume_reading()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = Peer.at(name[0], name[1])
        if self._opened is not None:
            self._opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio.BufferedProtocol."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        if self._discarded >= 0:
            self._discarded += nbytes
            if self._discarded > LINGER_MAX:
                self._transport.abort()
            return
        self._chunks.append(bytes(self._view[:nbytes]))
        self._size += nbytes
        if self._size >= HIGH_WATER:
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """See asyncio.BufferedProtocol; the reply to what came before may still go out."""
        self._ended = True
        _wake(self._reader)
        return self.tls is None and self._discarded < 0

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._full = True

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._full = False
        _wake(self._drainer)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._ended = True
        self._full = False
        self._disarm()
        _wake(self._reader)
        _wake(self._drainer)
        _wake(self._lost)

    # --- waiting

    async def _within(self, waiter: asyncio.Future[None], until: float = 0.0) -> None:
        self._due[waiter] = due = until or self._loop.time() + self.idle
        if self._timer is None or due < self._timer.when():
            self._arm(due)
        try:
            await waiter
        finally:
            del self._due[waiter]

    def _arm(self, due: float) -> None:
        """One timer for a connection, not one for each wait: most waits end before it."""
        self._disarm()
        self._timer = self._loop.call_at(due, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Some time is over: whose?"""
        self._timer = None
        now = self._loop.time()
        for waiter, due in self._due.items():
            if due <= now and not waiter.done():
                waiter.set_exception(TimeoutError("the peer is silent"))
        later = [due for due in self._due.values() if due > now]
        if later:
            self._arm(min(later))


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _tls(channel: ssl.SSLObject) -> Tls:
    cipher = channel.cipher()
    return Tls(channel.version() or "", cipher[0] if cipher else "", bool(channel.getpeercert()))


async def connect(endpoint: Endpoint, *, timeout: float, idle: float) -> Stream:
    """Reach an address within `timeout` seconds; raises Unavailable."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if endpoint.kind == "unix":
                _, stream = await loop.create_unix_connection(lambda: Stream(idle), endpoint.path)
            else:
                _, stream = await loop.create_connection(
                    lambda: Stream(idle), endpoint.host, endpoint.port, family=endpoint.family
                )
    except TimeoutError as error:
        raise Unavailable(str(endpoint), f"no answer within {timeout:g} s") from error
    except OSError as error:
        raise Unavailable(str(endpoint), error.strerror or str(error)) from error
    return stream
