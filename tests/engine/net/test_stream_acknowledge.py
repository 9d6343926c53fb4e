"""A peer that gets no answers is not made to wait for the kernel's delayed ACK."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable

import pytest

from millrace.engine.net.listener import listen
from millrace.engine.net.stream import Stream

TURNS = 20  # talk to and fro, until the kernel takes the connection for a conversation


def unacknowledged(peer: socket.socket) -> int:
    """Octets that were sent, and of which nobody has said that they came."""
    answer = fcntl.ioctl(peer, termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])


async def left_unanswered(then: Callable[[Stream], None]) -> int:
    """What the peer waits for after the server has read one piece and answered nothing."""
    read = asyncio.Event()

    async def serve(stream: Stream) -> None:
        for _ in range(TURNS):
            await stream.send(await stream.read())
        await stream.read()
        then(stream)
        read.set()
        await stream.read()

    listener = await listen("inet:0@127.0.0.1", serve)
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as peer:
        peer.setblocking(False)
        for _ in range(TURNS):
            await loop.sock_sendall(peer, b"question")
            await loop.sock_recv(peer, 100)
        await loop.sock_sendall(peer, b"statement")
        await asyncio.wait_for(read.wait(), 10)
        waiting = unacknowledged(peer)
    await listener.close()
    return waiting


def test_an_acknowledged_piece_is_known_to_have_come() -> None:
    assert asyncio.run(left_unanswered(Stream.acknowledge)) == 0


def test_without_it_the_kernel_lets_the_peer_wait() -> None:
    # the premise: should a kernel not do so, the calls could go
    if asyncio.run(left_unanswered(lambda stream: None)) == 0:
        pytest.skip("this kernel acknowledges at once")


def test_a_peer_that_is_gone_is_no_trouble() -> None:
    async def gone() -> None:
        listener = await listen("inet:0@127.0.0.1", serve)
        _, writer = await asyncio.open_connection("127.0.0.1", listener.endpoint.port)
        writer.close()
        await asyncio.wait_for(ended.wait(), 10)
        await listener.close()

    async def serve(stream: Stream) -> None:
        await stream.read()
        stream.abort()
        await asyncio.sleep(0)
        stream.acknowledge()
        ended.set()

    ended = asyncio.Event()
    asyncio.run(gone())
