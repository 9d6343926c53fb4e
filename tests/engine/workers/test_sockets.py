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
    assert old.socks == []


def test_unix_path_of_a_listener_that_is_gone_goes_too(tmp_path: Path):
    (old,) = opened(Listener("milter", f"unix:{tmp_path}/m.sock"))
    opened_with(Settings(http=Http("")), old)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_workers_that_can_have_no_socket_of_their_own_share_those_of_others():
    (old,) = opened(TCP, workers=2)
    os.seteuid(65534)  # as once root was given up
    try:
        new = open_all(Settings(listener=(TCP,), http=Http("")), 4, {old.key: old.socks})
    finally:
        os.seteuid(0)
    assert (len(new[0].socks), new[0].shared) == (2, True)
    given = [new[0].given(slot) for slot in range(4)]
    for each in given:
        assert each is not None
        each.sock.close()
    close(new)


# --- a door that is new


def test_new_doors_are_tried_and_leave_nothing_behind(tmp_path: Path):
    path = f"unix:{tmp_path}/m.sock"
    (held,) = bounds = opened(TCP)
    settings = Settings(listener=(TCP, Listener("milter", path)), http=Http(""))
    sockets.try_new(settings, {held.key})
    assert list(tmp_path.iterdir()) == []
    close(bounds)


def test_new_door_that_cannot_open_is_told_and_one_that_is_held_is_not_tried():
    (held,) = bounds = opened(TCP)
    taken = str(held.endpoint)
    settings = Settings(listener=(Listener("smtp", taken),), http=Http(""))
    sockets.try_new(settings, {(taken, 0)})
    with pytest.raises(Misconfigured, match="cannot listen on"):
        sockets.try_new(settings, set())
    close(bounds)


# --- systemd


def test_unix_path_of_systemd_stays_when_the_daemon_goes(tmp_path: Path):
    path = tmp_path / "m.sock"
    listener = Listener("milter", f"unix:{path}")
    (systemd,) = opened(listener)
    settings = Settings(listener=(listener,), http=Http(""))
    ours = [each.dup() for each in systemd.socks]
    close(open_all(settings, 1, {systemd.key: ours}, lent=[ours[0].fileno()]))
    assert path.exists()
    close([systemd])


@pytest.mark.parametrize("kind", ["file", "datagrams", "connection", "nothing"])
def test_descriptor_that_is_no_listening_socket_is_told(monkeypatch, kind: str):
    given = descriptor(kind)
    monkeypatch.setattr(sockets, "_FIRST", given)
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    with pytest.raises(Misconfigured, match=f"descriptor {given}, which is no listening socket"):
        sockets.from_systemd(Settings(listener=(TCP,)), environment)
    if kind == "file":
        os.close(given)


def descriptor(kind: str) -> int:
    match kind:
        case "file":
            return os.open(os.devnull, os.O_RDONLY)
        case "datagrams":
            return socket.socket(type=socket.SOCK_DGRAM).detach()
        case "connection":
            ours, theirs = socket.socketpair()
            theirs.close()
            return ours.detach()
    return 1 << 20


@pytest.mark.parametrize("number", ["", "abc", "-1"])
def test_number_of_descriptors_that_is_none_gives_none(number: str):
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": number}
    assert sockets.from_systemd(Settings(listener=(TCP,)), environment) == {}


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
