"""The loopback pages over real sockets."""

import asyncio

import pytest

from millrace.engine.net.listener import Bounds, listen
from millrace.engine.servers import http
from millrace.engine.servers.http import EVENT_MAX, Asking, Response


async def _page():
    return Response(200, b"all is well\n")


async def _broken():
    raise AssertionError("a page that breaks")


async def _echo(query):
    return Response(200, repr(query).encode())


PAGES = {("GET", "/healthz"): _page, ("POST", "/reload"): _page, ("GET", "/broken"): _broken}
PAGES["POST", "/echo"] = Asking(_echo)


async def _talk(request: bytes, pages) -> bytes:
    listener = await listen(
        "inet:0@127.0.0.1",
        lambda stream: http.serve(stream, pages),
        bounds=Bounds(idle=5.0),
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.endpoint.port)
    try:
        writer.write(request)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()
        await listener.close()


def answered(request: bytes) -> bytes:
    return asyncio.run(_talk(request, PAGES))


def asked(line: str, more: str = "") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        ("GET /healthz", 200, b"all is well\n"),
        ("GET /healthz?x=1", 200, b"all is well\n"),
        ("POST /reload", 200, b"all is well\n"),
        ("GET /reload", 405, b"this page is not read that way\n"),
        ("POST /healthz", 405, b"this page is not read that way\n"),
        ("GET /none", 404, b"there is no such page; these are:\nGET /healthz\n"),
    ],
)
def test_page_is_answered_by_its_method_and_path(line, status, body):
    head, _, content = answered(asked(line)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert content.startswith(body)
    assert b"content-length: %d" % len(content) in head.lower()


def test_page_that_asks_gets_its_query():
    assert answered(asked("POST /echo?who=ann&why=a%20b+c")).endswith(
        b"{'who': 'ann', 'why': 'a b c'}"
    )
    assert answered(asked("POST /echo")).endswith(b"{}")


def test_head_has_the_length_and_no_body():
    found = answered(asked("HEAD /healthz"))
    assert found.endswith(b"\r\n\r\n")
    assert b"content-length: 12\r\n" in found.lower()


def test_several_requests_go_over_one_connection():
    found = answered(asked("GET /healthz") + asked("POST /reload", "Content-Length: 3\r\n") + b"abc"
                     + asked("GET /healthz"))  # fmt: skip
    assert found.count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize("request_", [b"garbage\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"])
def test_request_that_is_none_gets_400_and_the_end(request_):
    assert answered(request_).startswith(b"HTTP/1.1 400 ")


def test_head_of_a_request_is_bounded():
    found = answered(asked("GET /healthz", "X: " + "a" * (64 * EVENT_MAX) + "\r\n"))
    assert found.startswith(b"HTTP/1.1 4")


def test_page_that_breaks_ends_its_connection_alone():
    assert not answered(asked("GET /broken")).startswith(b"HTTP/1.1 200")
