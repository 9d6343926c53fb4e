"""The fault proxy against an echo: every toxic does what its name says, and goes again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.engine.chaos.proxy import Proxy
from millrace.engine.chaos.threaded import Faults
from millrace.engine.chaos.toxics import (
    Bandwidth,
    Forged,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    slices,
)
from millrace.engine.net.endpoint import Endpoint

SHORT = 0.15


class Echo:
    """Says back what it hears, each connection in its thread, until the peer ends."""

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.door.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                opened, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=_say_back, args=(opened,), daemon=True).start()

    def close(self) -> None:
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()


def _say_back(opened: socket.socket) -> None:
    with opened:
        try:
            while data := opened.recv(65536):
                opened.sendall(data)
        except OSError:
            pass


@pytest.fixture
def faults() -> Iterator[Faults]:
    with Faults() as opened:
        yield opened


@pytest.fixture
def proxy(faults: Faults) -> Iterator[Proxy]:
    echo = Echo()
    yield faults.stream(Endpoint.parse(f"inet:{echo.port}@127.0.0.1"))
    echo.close()


def client(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.listen.port), timeout=5)


def said_back(opened: socket.socket, data: bytes) -> bytes:
    opened.sendall(data)
    heard = b""
    while len(heard) < len(data) and (piece := opened.recv(65536)):
        heard += piece
    return heard


def poisoned(faults: Faults, proxy: Proxy, toxic: Toxic) -> None:
    faults.change(proxy.add, "it", toxic)


def test_without_a_toxic_everything_passes_whole(proxy: Proxy) -> None:
    with client(proxy) as opened:
        assert said_back(opened, b"x" * 300_000) == b"x" * 300_000


def test_latency_delays_and_is_gone_when_it_is_removed(faults: Faults, proxy: Proxy) -> None:
    with client(proxy) as opened:
        poisoned(faults, proxy, Latency(SHORT * 1000))
        began = time.monotonic()
        assert said_back(opened, b"slow") == b"slow"
        assert time.monotonic() - began >= SHORT * 0.9
        faults.change(proxy.remove, "it")
        began = time.monotonic()
        assert said_back(opened, b"quick") == b"quick"
        assert time.monotonic() - began < SHORT


def test_bandwidth_lets_so_many_octets_pass_each_second(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, Bandwidth(200))
    with client(proxy) as opened:
        began = time.monotonic()
        assert len(said_back(opened, b"x" * 40_000)) == 40_000
        assert time.monotonic() - began >= SHORT


def test_timeout_starves_and_then_ends_the_connection(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, Timeout(SHORT * 1000))
    with client(proxy) as opened:
        began = time.monotonic()
        assert said_back(opened, b"nobody hears") == b""
        assert time.monotonic() - began >= SHORT * 0.9


def test_removing_an_endless_timeout_ends_what_it_held(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, Timeout())
    with client(proxy) as opened:
        opened.sendall(b"held")
        opened.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            opened.recv(1)
        faults.change(proxy.remove, "it")
        opened.settimeout(5)
        assert opened.recv(1) == b""


def test_reset_peer_ends_with_a_reset(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, ResetPeer())
    with client(proxy) as opened, pytest.raises(ConnectionResetError):
        said_back(opened, b"hello")


def test_limit_data_cuts_after_so_many_octets(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, LimitData(5))
    with client(proxy) as opened:
        assert said_back(opened, b"12345678") == b"12345"


def test_slicer_changes_no_octet(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, Slicer(7, 3))
    data = bytes(range(256)) * 4
    with client(proxy) as opened:
        assert said_back(opened, data) == data


def test_slices_have_the_size_that_was_asked_for() -> None:
    assert slices(b"abcdefgh", Slicer(3), lambda low, high: 0) == [b"abc", b"def", b"gh"]


def test_slow_close_passes_an_end_on_late(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, SlowClose(SHORT * 1000))
    with client(proxy) as opened:
        opened.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        assert opened.recv(1) == b""
        assert time.monotonic() - began >= SHORT * 0.9


def test_forged_rewrites_what_passes(faults: Faults, proxy: Proxy) -> None:
    poisoned(faults, proxy, Forged(bytes.upper))
    with client(proxy) as opened:
        assert said_back(opened, b"true") == b"TRUE"


def test_a_proxy_that_is_down_refuses_and_resets_until_it_is_up(
    faults: Faults, proxy: Proxy
) -> None:
    with client(proxy) as opened:
        assert said_back(opened, b"there") == b"there"
        faults.wait(proxy.down())
        with pytest.raises(ConnectionResetError):
            opened.recv(1)
    with pytest.raises(ConnectionRefusedError):
        client(proxy)
    faults.wait(proxy.up())
    with client(proxy) as opened:
        assert said_back(opened, b"again") == b"again"


def test_a_unix_socket_is_served_as_well(faults: Faults, tmp_path: Path, proxy: Proxy) -> None:
    front = faults.stream(proxy.listen, Endpoint.parse(f"unix:{tmp_path / 'front'}"))
    with socket.socket(socket.AF_UNIX) as opened:
        opened.connect(front.listen.path)
        assert said_back(opened, b"by path") == b"by path"
    faults.wait(front.down())
    assert not (tmp_path / "front").exists()


def test_datagrams_pass_are_lost_and_are_forged(faults: Faults) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.settimeout(5)
        front = faults.datagrams(service.getsockname())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(5)
            asker.connect(front.address)
            assert _answered(asker, service, b"one") == b"one"
            faults.change(front.add, "lie", Forged(bytes.upper))
            assert _answered(asker, service, b"two") == b"TWO"
            faults.change(front.add, "lost", Timeout())
            asker.settimeout(SHORT)
            with pytest.raises(TimeoutError):
                _answered(asker, service, b"three")


def test_datagrams_at_once_of_one_client_go_one_way(faults: Faults) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.settimeout(5)
        front = faults.datagrams(service.getsockname())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            for number in range(50):
                asker.sendto(b"%d" % number, front.address)
            came = [service.recvfrom(512) for _ in range(50)]
    assert [data for data, _ in came] == [b"%d" % number for number in range(50)]
    assert len({whence for _, whence in came}) == 1


def test_a_dead_datagram_service_is_refused_by_the_kernel(faults: Faults) -> None:
    front = faults.datagrams(("127.0.0.1", 9))
    faults.wait(front.down())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(5)
        asker.connect(front.address)
        asker.send(b"?")
        with pytest.raises(ConnectionRefusedError):
            asker.recv(16)


def _answered(asker: socket.socket, service: socket.socket, data: bytes) -> bytes:
    asker.send(data)
    question, whence = service.recvfrom(512)
    service.sendto(question, whence)
    return asker.recv(512)
