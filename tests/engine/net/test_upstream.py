"""Addresses of name servers, and what resolv.conf says."""

import socket

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.net.upstream import Host, in_turn, of_host, parse, read


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("192.0.2.53", ("192.0.2.53", 53), False),
        ("127.0.0.1:5353", ("127.0.0.1", 5353), True),
        ("127.8.9.1", ("127.8.9.1", 53), True),
        ("2001:db8::53", ("2001:db8::53", 53), False),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353), False),
        ("[::1]", ("::1", 53), True),
    ],
)
def test_address_of_a_server_is_read_in_each_form(text, address, loopback):
    found = parse(text)
    assert (found.address, found.loopback, found.name) == (address, loopback, text)
    assert found.family == (socket.AF_INET6 if ":" in address[0] else socket.AF_INET)


@pytest.mark.parametrize(
    "text",
    ["", "dns.example", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:x",
     "[::1", "[::1]:99999", "1.2.3", "[::1]x"],
)  # fmt: skip
def test_text_that_is_no_address_is_told(text):
    with pytest.raises(Misconfigured) as caught:
        parse(text)
    assert f"dns.servers: '{text}' is no address" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("nameserver 192.0.2.1\nnameserver ::1 # here\n", Host(("192.0.2.1", "::1"))),
        ("", Host(("127.0.0.1",))),
        ("nameserver\nnameserver banana\nsearch a b\n;x\n#y", Host(("127.0.0.1",))),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.1", Host(("192.0.2.1",))),
        ("options timeout:3 attempts:1 rotate", Host(timeout=3.0, attempts=1)),
        ("options timeout:9999 attempts:0\noptions edns0", Host(timeout=30.0, attempts=1)),
        ("options timeout:x attempts:99999", Host()),
        ("\0\ufffd nameserver", Host()),
    ],
)
def test_configuration_of_the_host_is_read_with_bounds(text, host):
    assert read(text) == host


def test_host_names_no_more_servers_than_are_asked():
    text = "".join(f"nameserver 192.0.2.{n}\n" for n in range(50))
    assert len(read(text).servers) == 8


def test_host_without_a_file_has_its_server_on_loopback(tmp_path):
    assert of_host(tmp_path / "none") == Host(("127.0.0.1",))
    (tmp_path / "resolv.conf").write_bytes(b"\xff\nnameserver 192.0.2.7\n")
    assert of_host(tmp_path / "resolv.conf").servers == ("192.0.2.7",)


def test_server_that_just_failed_comes_last():
    first, second, third = (parse(f"192.0.2.{n}") for n in (1, 2, 3))
    first.rests_until = 10.0
    assert in_turn([first, second, third], 5.0) == [second, third, first]
    assert in_turn([first, second, third], 10.0) == [first, second, third]
