"""One connection's bytes, over real sockets on port 0."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
import threading
import time

import pytest

from millrace.engine.errors import ProtocolError, Unavailable
from millrace.engine.net import stream as module
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.net.listener import Bounds, listen
from millrace.engine.net.stream import HIGH_WATER, Stream, connect


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.send(data)


def talk(serve, client, address="inet:0@127.0.0.1", **options):
    """Run a server and one client against each other; gives what the client returns."""

    async def run():
        listener = await listen(address, serve, **options)
        try:
            return await asyncio.wait_for(client(listener.endpoint), 10)
        finally:
            await let_go()
            await listener.close()

    return asyncio.run(run())


OPEN: list[Stream] = []


async def reached(endpoint: Endpoint, idle: float = 5.0) -> Stream:
    OPEN.append(await connect(endpoint, timeout=5, idle=idle))
    return OPEN[-1]


async def let_go() -> None:
    while OPEN:
        await OPEN.pop().close()


@pytest.mark.parametrize("kind", ["inet:0@127.0.0.1", "inet6:0@::1", "unix"])
def test_bytes_come_back_over_every_kind_of_address(kind, tmp_path):
    async def client(endpoint):
        stream = await reached(endpoint)
        await stream.send(b"hello")
        return await stream.read()

    address = f"unix:{tmp_path}/s" if kind == "unix" else kind
    assert talk(echo, client, address) == b"hello"


def test_peer_is_known_by_its_canonical_address():
    async def client(endpoint):
        stream = await reached(endpoint)
        return (await stream.read()).decode(), stream.peer.ip

    async def name(stream):
        await stream.send(stream.peer.ip.encode())

    assert talk(name, client) == ("127.0.0.1", "127.0.0.1")


def test_megabytes_pass_both_ways_with_back_pressure():
    size = 8 << 20

    async def client(endpoint):
        stream = await reached(endpoint)

        async def pour():
            for _ in range(size // HIGH_WATER):
                await stream.send(b"x" * HIGH_WATER)

        async with asyncio.TaskGroup() as group:
            group.create_task(pour())
            got = 0
            while got < size:
                got += len(await stream.read())
        return got

    assert talk(echo, client) == size


async def flood(stream: Stream) -> None:
    for _ in range(1000):
        await stream.send(b"x" * (1 << 20))


def test_unread_octets_are_bounded_by_a_pause():
    seen = []

    async def slow(stream):
        await stream.read()
        await asyncio.wait_for(full.wait(), 5)
        seen.append(stream.pending)

    async def client(endpoint):
        stream = await reached(endpoint, idle=0.2)
        with pytest.raises(TimeoutError):
            await flood(stream)
        full.set()

    full = asyncio.Event()
    talk(slow, client)
    assert HIGH_WATER <= seen[0] < HIGH_WATER + module.CHUNK


def test_silent_peer_ends_in_a_time_out():
    async def client(endpoint):
        stream = await reached(endpoint, idle=0.01)
        with pytest.raises(TimeoutError):
            await stream.read()
        await stream.send(b"late")
        stream.idle = 5
        assert await stream.read() == b"late"

    talk(echo, client)


def test_end_of_the_peer_is_an_empty_read_and_a_failed_drain():
    async def once(stream):
        await stream.read()

    async def client(endpoint):
        stream = await reached(endpoint)
        await stream.send(b"x")
        assert await stream.read() == b""
        assert await stream.read() == b""
        await stream.close()
        with pytest.raises(ConnectionError):
            await stream.send(b"y")

    talk(once, client)


def test_last_reply_survives_octets_that_nobody_read():
    async def refuse(stream):
        await stream.read()
        stream.write(b"554 go away\r\n")

    def stubborn(address):
        with socket.create_connection(address, timeout=5) as sock:
            sock.sendall(b"x")
            select.select([sock], [], [], 5)
            for _ in range(20):
                sock.sendall(b"x" * 10_000)
            return sock.recv(100)

    async def client(endpoint):
        return await asyncio.to_thread(stubborn, (endpoint.host, endpoint.port))

    assert talk(refuse, client) == b"554 go away\r\n"


def test_hanging_up_sends_what_was_written_and_waits_for_nobody(monkeypatch):
    monkeypatch.setattr(module, "LINGER_S", 30.0)  # longer than the client waits
    closed = asyncio.Event()

    async def bye(stream):
        await stream.read()
        stream.write(b"bye")
        stream.hang_up()
        await stream.close()
        closed.set()

    async def client(endpoint):
        stream = await reached(endpoint)
        await stream.send(b"quit")
        said = await stream.read()
        await asyncio.wait_for(closed.wait(), 2)
        return said

    assert talk(bye, client) == b"bye"


def test_peer_that_resets_while_we_close_is_no_trouble():
    closed = []

    async def leave(stream):
        await stream.read()
        reset.set()
        while not gone.is_set():
            time.sleep(0)  # noqa: ASYNC251
        await stream.close()
        closed.append(True)

    def rude(address):
        with socket.create_connection(address, timeout=5) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(b"QUIT")
            reset.wait(5)
        gone.set()

    async def client(endpoint):
        await asyncio.to_thread(rude, (endpoint.host, endpoint.port))

    reset, gone = threading.Event(), threading.Event()
    talk(leave, client)
    assert closed == [True]


def test_reading_goes_on_after_the_pause():
    size = 4 << 20

    async def late(stream):
        while stream.pending < HIGH_WATER:  # noqa: ASYNC110
            await asyncio.sleep(0)
        got = 0
        while got < size:
            got += len(await stream.read())
        await stream.send(b"all")

    async def client(endpoint):
        stream = await reached(endpoint)
        stream.write(b"x" * size)
        return await stream.read()

    assert talk(late, client) == b"all"


async def polite(stream: Stream, context: ssl.SSLContext) -> None:
    """A server in the order that is safe: hold, say 220, shake hands."""
    while b"STARTTLS" not in await stream.read():
        pass
    stream.hold()
    await stream.send(b"220\r\n")
    await stream.start_tls(context)
    await stream.send(b"secret")
    await echo(stream)


def test_tls_tells_its_version_and_whom_it_trusts(tls_pair):
    async def client(endpoint):
        stream = await reached(endpoint)
        await stream.send(b"STARTTLS\r\n")
        assert await stream.read() == b"220\r\n"
        await stream.start_tls(tls_pair.client, server_name=tls_pair.name)
        heard = await stream.read()
        await stream.send(b"more")
        heard += await stream.read()
        return stream.tls, heard

    tls, heard = talk(lambda stream: polite(stream, tls_pair.server), client)
    assert heard == b"secretmore"
    assert tls.version == "TLSv1.3"
    assert tls.verified


def test_client_hello_that_comes_early_is_not_lost(tls_pair):
    # the peer shakes hands in the same breath in which it asks for TLS
    def handshake(address):
        with socket.create_connection(address, timeout=5) as sock:
            sock.sendall(b"STARTTLS\r\n")
            assert sock.recv(100) == b"220\r\n"
            with tls_pair.client.wrap_socket(sock, server_hostname=tls_pair.name) as secure:
                return secure.recv(100)

    async def client(endpoint):
        calls = [asyncio.to_thread(handshake, (endpoint.host, endpoint.port)) for _ in range(40)]
        return await asyncio.gather(*calls)

    async def late(stream):
        # between the 220 and the handshake the loop has time to read, were it not held
        await stream.read()
        stream.hold()
        await stream.send(b"220\r\n")
        for _ in range(50):
            await asyncio.sleep(0)
        await stream.start_tls(tls_pair.server)
        await stream.send(b"secret")
        await echo(stream)

    assert talk(late, client) == [b"secret"] * 40


def test_text_behind_starttls_is_refused_not_heard_later(tls_pair):
    caught, heard = [], []
    evil = asyncio.Event()

    async def naive(stream):
        heard.append(await stream.read())
        await evil.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert stream.pending == 6
        try:
            await stream.start_tls(tls_pair.server)
        except ProtocolError as error:
            caught.append(str(error))

    async def client(endpoint):
        stream = await reached(endpoint)
        await stream.send(b"STARTTLS\r\n")
        for _ in range(50):
            await asyncio.sleep(0)
        assert heard
        await stream.send(b"EVIL\r\n")
        evil.set()
        return await stream.read()

    assert talk(naive, client) == b""
    assert caught == ["text was sent in clear behind STARTTLS"]


def test_failed_handshake_is_a_protocol_error(tls_pair):
    caught = []

    async def serve(stream):
        try:
            await polite(stream, tls_pair.server)
        except ProtocolError as error:
            caught.append(str(error))

    async def client(endpoint):
        stream = await reached(endpoint)
        await stream.send(b"STARTTLS\r\n")
        await stream.read()
        await stream.send(b"this is no ClientHello\r\n")
        while await stream.read():
            pass

    talk(serve, client)
    assert caught[0].startswith("no TLS")


def test_nobody_there_is_unavailable_with_its_address():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(Unavailable, match=f"inet:{port}@127.0.0.1"):
        asyncio.run(reached(Endpoint("inet", "127.0.0.1", port)))


def test_too_many_connections_hear_why(tmp_path):
    async def client(endpoint):
        first = await reached(endpoint)
        await first.send(b"x")
        await first.read()
        second = await reached(endpoint)
        return await second.read()

    bounds = Bounds(connections=1, idle=5)
    full = b"421 4.3.2 busy\r\n"
    assert talk(echo, client, f"unix:{tmp_path}/s", bounds=bounds, full=full) == full
    assert talk(echo, client, bounds=Bounds(per_address=1, idle=5), full=full) == full


@pytest.mark.parametrize("bounds", [Bounds(connections=1), Bounds(per_address=1)])
def test_who_is_sent_away_takes_no_room_from_the_next(bounds, monkeypatch):
    monkeypatch.setattr(module, "LINGER_S", 30)  # whoever is sent away lingers that long

    async def run():
        listener = await listen("inet:0@127.0.0.1", echo, bounds=bounds, full=b"full")
        first = await reached(listener.endpoint)
        await first.send(b"x")
        assert await first.read() == b"x"
        away = await reached(listener.endpoint)
        assert await away.read() == b"full"
        await first.close()
        while listener.connections > 1:  # noqa: ASYNC110
            await asyncio.sleep(0)
        third = await reached(listener.endpoint)
        await third.send(b"x")
        assert await third.read() == b"x"
        for stream in (away, third):
            stream.abort()
        await let_go()
        await listener.close()

    asyncio.run(run())


def test_listener_that_stopped_serves_open_connections_on(tmp_path):
    path = tmp_path / "s"

    async def run():
        listener = await listen(f"unix:{path}", echo)
        stream = await reached(listener.endpoint)
        await stream.send(b"1")
        assert await stream.read() == b"1"
        listener.stop()
        assert not path.exists()
        with pytest.raises(Unavailable):
            await reached(listener.endpoint)
        await stream.send(b"2")
        assert await stream.read() == b"2"
        assert listener.connections == 1
        await listener.close(grace=0)
        assert listener.connections == 0
        assert await stream.read() == b""
        await let_go()

    asyncio.run(run())


# --- a peer that holds a connection by one octet now and then


def trickled(idle: float, octets: int) -> int:
    """How many octets a server took that wanted them all as one utterance."""
    taken = []

    async def serve(stream: Stream) -> None:
        stream.begin()
        try:
            while len(taken) < octets and (data := await stream.read()):
                taken.append(data)
                await stream.send(data)
        except TimeoutError:
            await stream.send(b"!")

    async def client(endpoint: Endpoint) -> None:
        stream = await reached(endpoint)
        answer = b"x"
        while answer == b"x" and len(taken) < octets:
            await stream.send(b"x")
            answer = await stream.read()

    talk(serve, client, bounds=Bounds(idle=idle))
    return len(taken)


def test_octets_that_come_too_slowly_buy_no_time(monkeypatch):
    monkeypatch.setattr(module, "RATE_MIN", 1e12)
    assert 0 < trickled(0.05, 1_000_000) < 1_000_000


def test_octets_that_come_quickly_enough_buy_their_time(monkeypatch):
    monkeypatch.setattr(module, "RATE_MIN", 1)  # a second for each
    assert trickled(0.05, 2000) == 2000
