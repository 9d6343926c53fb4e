"""Addresses to listen on: their text, their rights, and what is in the way."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.net.endpoint import Endpoint, bind


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("inet:25@127.0.0.1", Endpoint("inet", "127.0.0.1", 25)),
        ("inet6:0@[::1]", Endpoint("inet6", "::1", 0)),
        ("inet6:25@::", Endpoint("inet6", "::", 25)),
        ("unix:/run/mill/race", Endpoint("unix", path="/run/mill/race")),
    ],
)
def test_endpoint_is_read_from_its_text(text, endpoint):
    assert Endpoint.parse(text) == endpoint
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize("text", ["", "inet:25", "inet:x@h", "inet:70000@h", "tcp:1@h", "unix:"])
def test_what_is_no_address_is_refused_with_a_hint(text):
    with pytest.raises(Misconfigured) as caught:
        Endpoint.parse(text)
    assert "inet:PORT@HOST" in str(caught.value)


def test_port_zero_becomes_the_port_that_is_open():
    endpoint = Endpoint.parse("inet:0@127.0.0.1")
    with bind(endpoint) as sock:
        assert endpoint.of(sock) == Endpoint("inet", "127.0.0.1", sock.getsockname()[1])


def test_port_in_use_is_the_operators_fault():
    with bind(Endpoint.parse("inet:0@127.0.0.1")) as sock:
        taken = Endpoint("inet", "127.0.0.1", sock.getsockname()[1])
        with pytest.raises(Misconfigured, match="cannot listen on inet:"):
            bind(taken)


def test_unix_socket_gets_its_mode_and_group(tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    path = str(tmp_path / "s")
    with bind(Endpoint("unix", path=path), mode=0o640, group=group):
        found = os.stat(path)
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert found.st_gid == os.getgid()


def test_unknown_group_is_named_in_the_error(tmp_path):
    with pytest.raises(Misconfigured, match="no group 'no-such-group'"):
        bind(Endpoint("unix", path=str(tmp_path / "s")), group="no-such-group")


def test_stale_socket_file_is_taken_away(tmp_path):
    path = str(tmp_path / "s")
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
    with bind(Endpoint("unix", path=path)) as sock:
        assert sock.getsockname() == path


def test_socket_on_which_somebody_answers_is_left_alone(tmp_path):
    endpoint = Endpoint("unix", path=str(tmp_path / "s"))
    with bind(endpoint), pytest.raises(Misconfigured, match="somebody listens"):
        bind(endpoint)
    assert os.path.exists(endpoint.path)


def test_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(Misconfigured, match="no socket"):
        bind(Endpoint("unix", path=str(path)))
    assert path.read_text() == "precious"


def test_a_host_without_a_descriptor_to_spare_is_told_as_the_operators_fault(monkeypatch):
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", none_left)
    with pytest.raises(Misconfigured, match=r"cannot listen on .*: Too many open files"):
        bind(Endpoint("inet", "127.0.0.1", 0))
