"""The listener's end: who is between two mails goes at once, who is in one may end it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from millrace.engine.net.listener import Listener, listen
from millrace.engine.net.stream import Stream


async def echo(stream: Stream) -> None:
    """Serve words; `begin` opens a mail, `end` ends it."""
    stream.at_rest = True
    while data := await stream.read():
        stream.at_rest = data != b"begin"
        await stream.send(data)


async def visit(listener: Listener, *words: bytes) -> asyncio.StreamReader:
    """A peer that says words and stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.endpoint.port)
    for word in words:
        writer.write(word)
        assert await reader.readexactly(len(word)) == word
    reader.say = writer.write  # type: ignore[attr-defined]
    reader.end = writer.close  # type: ignore[attr-defined]
    return reader


async def closed_at_rest() -> bytes:
    listener = await listen("inet:0@127.0.0.1", echo)
    peer = await visit(listener, b"begin", b"end")
    async with asyncio.timeout(10):
        closing = asyncio.create_task(listener.close(1000))
        heard = await peer.read()
        peer.end()  # type: ignore[attr-defined]
        await closing
    return heard


async def closed_in_a_mail() -> bytes:
    listener = await listen("inet:0@127.0.0.1", echo)
    peer = await visit(listener, b"begin")
    async with asyncio.timeout(10):
        closing = asyncio.create_task(listener.close(1000))
        await asyncio.sleep(0)
        peer.say(b"end")  # type: ignore[attr-defined]
        heard = await peer.read()
        peer.end()  # type: ignore[attr-defined]
        await closing
    return heard


def test_a_connection_at_rest_ends_when_the_listener_closes() -> None:
    assert asyncio.run(closed_at_rest()) == b""


def test_a_mail_under_way_ends_before_its_connection_does() -> None:
    assert asyncio.run(closed_in_a_mail()) == b"end"


async def crowd(address: str) -> int:
    """How many of 300 that come at once, while we are busy, the kernel keeps for us."""
    listener = await listen(address, echo)
    kept: list[socket.socket] = []
    where = listener.endpoint
    for _ in range(300):  # the loop does not turn meanwhile: nobody is accepted
        peer = socket.socket(where.family, socket.SOCK_STREAM)
        kept.append(peer)
        peer.settimeout(0.5)
        try:
            peer.connect(where.path if where.kind == "unix" else (where.host, where.port))
        except OSError:  # the queue is full
            break
    came = len(kept)
    for peer in kept:
        peer.close()
    await listener.close()
    return came


@pytest.mark.parametrize("address", ["inet:0@127.0.0.1", "unix:{}/door"])
def test_a_crowd_waits_in_the_kernel_while_we_are_busy(address: str, tmp_path: Path) -> None:
    assert asyncio.run(crowd(address.format(tmp_path))) == 300
