"""The listener's end: who is between two mails goes at once, who is in one may end it."""

from __future__ import annotations

import asyncio

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
