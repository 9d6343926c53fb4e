"""The loopback listener: metrics, health, reload.  RFC 9112, by h11.

    GET /metrics   Prometheus text        GET /healthz   200 while the process lives
    GET /readyz    200 or 503, JSON       POST /reload   200 or 409, JSON

Small bodies, short time-outs, one request at a time; a page is a function.  A page may be
named with its query, or be one that takes it; any other query is not looked at.

Fails: never outward; a request that is none gets 400 and the connection closes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import h11

from millrace.engine.net.stream import Stream

_log = logging.getLogger("millrace.http")
IDLE_S = 15.0
EVENT_MAX = 16 << 10


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Asking:
    """A page that looks at its query."""

    page: Callable[[Mapping[str, str]], Awaitable[Response]]


Page = Callable[[], Awaitable[Response]]
Pages = Mapping[tuple[str, str], Page | Asking]


async def serve(stream: Stream, pages: Pages) -> None:
    """Serve one connection."""
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=EVENT_MAX)
    try:
        stream.begin()
        while await _request(stream, machine, pages):
            machine.start_next_cycle()
            stream.begin()
    except h11.RemoteProtocolError as error:
        stream.write(_encoded(machine, Response(error.error_status_hint, b"bad request\n")))
    except (TimeoutError, ConnectionError):
        pass
    except Exception:  # the wall around a connection
        _log.exception("request ended by an error of ours")
        stream.write(_encoded(machine, Response(500, b"an error of ours; the log has more\n")))


async def _request(stream: Stream, machine: h11.Connection, pages: Pages) -> bool:
    """One request and its answer; False when the connection is over."""
    request: h11.Request | None = None
    while True:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            stream.at_rest = machine.their_state is h11.IDLE
            machine.receive_data(await stream.read())
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            response = await _page(request, pages)
            stream.write(_encoded(machine, response, head=request.method == b"HEAD"))
            await stream.drain()
            return machine.our_state is h11.DONE
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return False


async def _page(request: h11.Request, pages: Pages) -> Response:
    path = request.target.split(b"?", 1)[0].decode("ascii", "replace")
    method = request.method.decode("ascii", "replace")
    verb, whole = "GET" if method == "HEAD" else method, request.target.decode("ascii", "replace")
    page = pages.get((verb, whole)) or pages.get((verb, path))
    if isinstance(page, Asking):
        return await page.page(dict(parse_qsl(whole.partition("?")[2])))
    if page is not None:
        return await page()
    if any(known == path for _, known in pages):
        return Response(405, b"this page is not read that way\n")
    listed = "\n".join(f"{verb} {where}" for verb, where in pages)
    return Response(404, f"there is no such page; these are:\n{listed}\n".encode())


def _encoded(machine: h11.Connection, response: Response, *, head: bool = False) -> bytes:
    if machine.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return b""
    headers = [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Cache-Control", "no-store"),
    ]
    sent = machine.send(h11.Response(status_code=response.status, headers=headers)) or b""
    if not head:
        sent += machine.send(h11.Data(data=response.body)) or b""
    return sent + (machine.send(h11.EndOfMessage()) or b"")
