"""The doors' sockets: for each worker its own, or one for all."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.settings import Http, Listener, Settings
from millrace.engine.workers import sockets
from millrace.engine.workers.sockets import Bound, open_all

TCP = Listener("smtp", "inet:0@127.0.0.1")


def opened(*listeners: Listener, workers: int = 1, http: str = "") -> list[Bound]:
    return open_all(Settings(listener=listeners, http=Http(http)), workers, {})


def close(bounds: list[Bound]) -> None:
    for bound in bounds:
        bound.close(unlink=True)


def test_each_worker_has_its_own_tcp_socket_at_one_port():
    (bound,) = bounds = opened(TCP, workers=3)
    assert len({sock.getsockname() for sock in bound.socks}) == 1
    assert len(bound.socks) == 3
    assert not bound.shared
    close(bounds)


def test_unix_path_is_shared_and_goes_with_the_daemon(tmp_path: Path):
    path = tmp_path / "m.sock"
    (bound,) = bounds = opened(Listener("milter", f"unix:{path}"), workers=2)
    assert (len(bound.socks), bound.shared) == (1, True)
    close(bounds)
    assert not path.exists()


def test_unix_path_of_another_daemon_is_left_alone(tmp_path: Path):
    path = tmp_path / "m.sock"
    bounds = opened(Listener("milter", f"unix:{path}"))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        close(bounds)
        assert path.exists()


def test_second_daemon_at_a_port_is_told_so():
    (bound,) = bounds = opened(TCP, workers=2)
    with pytest.raises(Misconfigured, match="cannot listen on"):
        opened(Listener("smtp", str(bound.endpoint)), workers=2)
    close(bounds)


def test_door_that_cannot_open_closes_the_others():
    (bound,) = bounds = opened(TCP)
    free = opened(TCP)[0]
    again = str(free.endpoint)
    close([free])
    with pytest.raises(Misconfigured):
        opened(Listener("smtp", again), Listener("smtp", str(bound.endpoint)))
    close(opened(Listener("smtp", again)))
    close(bounds)


def test_two_doors_and_http_may_all_ask_for_any_port():
    before = opened(TCP, TCP, http="inet:0@127.0.0.1")
    settings = Settings(listener=(TCP, TCP), http=Http("inet:0@127.0.0.1"))
    after = open_all(settings, 1, {bound.key: list(bound.socks) for bound in before})
    assert [str(b.endpoint) for b in after] == [str(b.endpoint) for b in before]
    assert len({str(b.endpoint) for b in after}) == 3
    close(after)


@pytest.mark.parametrize(("before", "after"), [(2, 4), (4, 2), (3, 3)])
def test_sockets_that_went_over_are_as_many_as_the_workers(before, after):
    (old,) = opened(TCP, workers=before)
    new = open_all(Settings(listener=(TCP,), http=Http("")), after, {old.key: list(old.socks)})
    assert len(new[0].socks) == after
    assert new[0].endpoint == old.endpoint
    close(new)


def test_sockets_of_a_listener_that_is_gone_are_closed():
    (old,) = opened(TCP)
    assert opened_with(Settings(http=Http("")), old) == []
    assert old.socks[0].fileno() == -1


def opened_with(settings: Settings, bound: Bound) -> list[Bound]:
    return open_all(settings, 1, {bound.key: bound.socks})


def test_libmilter_serves_in_one_worker_only():
    with pytest.raises(Misconfigured, match="one worker only"):
        opened(Listener("milter", "inet:0@127.0.0.1", backend="libmilter"), workers=2)


def test_workers_accept_on_a_copy_that_does_not_wait():
    (bound,) = bounds = opened(TCP)
    given = bound.given(0)
    assert given is not None
    close(bounds)
    with given.sock, pytest.raises(BlockingIOError):
        given.sock.accept()


def activated(monkeypatch: pytest.MonkeyPatch, sock: socket.socket) -> dict[str, str]:
    """As systemd starts us: the socket at descriptor 3."""
    monkeypatch.setattr(sockets, "_FIRST", sock.fileno())
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}


def test_socket_of_systemd_is_found_by_its_address(monkeypatch: pytest.MonkeyPatch):
    sock = socket.create_server(("127.0.0.1", 0))
    door = Listener("smtp", f"inet:{sock.getsockname()[1]}@127.0.0.1")
    environment = activated(monkeypatch, sock)
    found = sockets.from_systemd(Settings(listener=(door,)), environment)
    assert list(found) == [(door.address, 0)]
    sock.detach()
    (bound,) = bounds = open_all(Settings(listener=(door,), http=Http("")), 2, found)
    assert (len(bound.socks), bound.shared) == (1, True)
    close(bounds)


def test_socket_of_systemd_that_no_listener_asks_for_is_an_error(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        copy = sock.dup()
        environment = activated(monkeypatch, copy)
        with pytest.raises(Misconfigured, match="and no listener"):
            sockets.from_systemd(Settings(listener=(TCP,)), environment)
        copy.detach()


def test_sockets_that_systemd_gave_somebody_else_are_not_ours():
    assert sockets.from_systemd(Settings(), {"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == {}
