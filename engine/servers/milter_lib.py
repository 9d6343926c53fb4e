"""The milter on libmilter, Sendmail's library, by pymilter (extra `[libmilter]`).

libmilter's loop runs in a daemon thread, each connection in a thread of libmilter; what
needs the engine crosses into the app's event loop.  A crossing costs 30 µs, so steps that
the MTA does not wait for are gathered, and cross with the next one that it does wait for.

Signals: `smfi_main` blocks SIGTERM, SIGHUP and SIGINT in its own thread, and another of
its threads waits for them.  The kernel prefers the main thread, which does not block them:
an app in the main thread keeps its handlers.

libmilter serves once in a process, on one socket: its state is global.  Text that is no
UTF-8 does not come through pymilter: a HELO name or a field whose name is none is not
heard, a peer whose host name is none is deferred; in what we write, such bytes become
U+FFFD.  libmilter takes no packet above 64 KiB, and passes over the peer after a QUIT_NC.

Fails: `start` raises Misconfigured; afterwards nothing goes outward, an MTA hears
"tempfail" where we have no answer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import shutil
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.mail.verdict import Reply
from millrace.engine.net import listener
from millrace.engine.net.endpoint import BACKLOG, Endpoint, bind
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.servers.milter import Bounds
from millrace.engine.servers.milter_crossing import Visit
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, Command, Negotiate, Terms, replies
from millrace.engine.wire.milter.codes import SYMBOL_STAGES, VERSION_BEST
from millrace.engine.wire.milter.fields import spaced
from millrace.engine.wire.milter.packets import LONG, Packets
from millrace.engine.wire.milter.terms import agreed, braced, negotiate

try:
    import milter as libmilter
except ImportError:  # `start` says so
    libmilter = None

ANSWER_S = 0.2
STOP_S = 6.0  # libmilter looks every five seconds whether it shall stop
_used = False
_log = logging.getLogger("millrace.milter")


def start(
    address: str,
    serving: Serving,
    name: str,
    bounds: Bounds,
    *,
    net_bounds: listener.Bounds,
    mode: int | None = None,
    group: str = "",
) -> LibmilterListener:
    """Open the socket and run libmilter in a thread; call it in the loop that shall answer."""
    global _used
    if libmilter is None:
        hint = "pip install 'millrace[libmilter]'; Debian: libmilter-dev"
        raise Misconfigured(Fault("the backend libmilter needs pymilter, which is missing", hint))
    if _used:
        hint = "Give the other listeners another backend, or a process of their own."
        raise Misconfigured(Fault("libmilter serves only one listener in a process", hint))
    made = LibmilterListener(serving, name, bounds, net_bounds)
    made.open(Endpoint.parse(address), mode, group)
    _used = True
    return made


class LibmilterListener:
    """libmilter's one socket and its connections; `address` is the real one."""

    def __init__(
        self, serving: Serving, name: str, bounds: Bounds, net_bounds: listener.Bounds
    ) -> None:
        self.endpoint = Endpoint("inet")
        self._serving = serving
        self._name = name
        self._bounds = bounds
        self._net_bounds = net_bounds
        self._loop = asyncio.get_running_loop()
        self._visits: set[Visit] = set()
        self._stopped = False
        self._quiet = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def address(self) -> str:
        """`inet:2525@127.0.0.1`: with the port that is truly open."""
        return str(self.endpoint)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._visits)

    # --- life

    def open(self, endpoint: Endpoint, mode: int | None, group: str) -> None:
        """Bind, and let the thread accept; Misconfigured when the address is no good."""
        with bind(endpoint, mode=mode, group=group) as probe:  # its words are better than theirs
            self.endpoint = endpoint.of(probe)
        self._register()
        # nobody may connect to a Unix socket before it has its rights
        mask = os.umask(0o777) if endpoint.kind == "unix" else None
        try:
            libmilter.opensocket(True)
        except libmilter.error as error:
            raise Misconfigured(Fault(f"libmilter cannot listen on {self.address}")) from error
        finally:
            if mask is not None:
                os.umask(mask)
        if mask is not None:
            if group:
                shutil.chown(endpoint.path, group=group)
            os.chmod(endpoint.path, 0o777 & ~mask if mode is None else mode)
        threading.Thread(target=self._run, name="libmilter", daemon=True).start()

    def _register(self) -> None:
        libmilter.set_connect_callback(self._connect)
        libmilter.set_helo_callback(self._helo)
        libmilter.set_envfrom_callback(self._mail)
        libmilter.set_envrcpt_callback(self._rcpt)
        libmilter.set_header_callback(self._header)
        libmilter.set_eoh_callback(self._end_of_headers)
        libmilter.set_body_callback(self._body)
        libmilter.set_eom_callback(self._end_of_message)
        libmilter.set_abort_callback(self._abort)
        libmilter.set_close_callback(self._close)
        # ours are caught; what is left is text that pymilter cannot read, and a "tempfail" where
        # no reply is due would leave the MTA waiting at the end of the message
        libmilter.set_exception_policy(libmilter.CONTINUE)
        libmilter.setconn(str(self.endpoint))
        libmilter.setbacklog(BACKLOG)
        libmilter.settimeout(max(1, int(self._net_bounds.idle)))
        libmilter.register("millrace", negotiate=self._negotiate)

    def _run(self) -> None:
        try:
            libmilter.main()
        except libmilter.error:
            _log.exception("%s: libmilter has ended", self._name)
        self._tell(self._ended.set)

    def _tell(self, what: Any) -> None:  # noqa: ANN401
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody to tell
            self._loop.call_soon_threadsafe(what)

    def stop(self) -> None:
        """Accept no more; what is open goes on."""
        if not self._stopped:
            self._stopped = True  # from here on a negotiation is refused
            # it waits for a lock that the loop of libmilter holds for up to five seconds
            threading.Thread(target=libmilter.stop, name="libmilter stop", daemon=True).start()

    async def close(self, grace: float = 0.0, patience: float = 0.0) -> None:
        """Stop, give mails under way `grace` seconds to end, and end the rest."""
        self.stop()
        if self._in_mail() and grace > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), grace)
        for visit in tuple(self._visits):
            visit.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), STOP_S)

    def _in_mail(self) -> bool:
        return any(visit.in_mail for visit in tuple(self._visits))

    def _at_rest(self, visit: Visit) -> None:
        visit.in_mail = False
        if self._stopped and not self._in_mail():
            # libmilter writes the answer after this call has returned
            self._tell(lambda: self._loop.call_later(ANSWER_S, self._quiet.set))

    # --- what libmilter calls, in its threads

    def _negotiate(self, ctx: Any, opts: list[int]) -> int:  # noqa: ANN401
        if self._stopped or len(self._visits) >= self._net_bounds.connections:
            return int(libmilter.REJECT)
        try:
            visit = Visit(self._loop, self._serving, self._name, self._bounds)
            answer = negotiate(Negotiate(VERSION_BEST, opts[0], opts[1]), visit.front.wants)
            for stage, names in answer.symbols.items():
                ctx.setsymlist(SYMBOL_STAGES[stage], " ".join(map(braced, names)))
        except Exception:  # the wall around a connection
            _log.exception("%s: connection ended by an error of ours", self._name)
            return int(libmilter.REJECT)
        visit.terms = agreed(answer)
        opts[:] = [answer.actions, answer.protocol, 0, 0]
        ctx.setpriv(visit)
        self._visits.add(visit)
        return int(libmilter.CONTINUE)

    def _connect(self, ctx: Any, hostname: str, family: int, where: Any) -> int:  # noqa: ANN401
        if visit := ctx.getpriv():
            visit.met = True
        return self._step(ctx, _connect(hostname, family, where))

    def _helo(self, ctx: Any, name: str) -> int:  # noqa: ANN401
        return self._step(ctx, wire.Helo(name))

    def _mail(self, ctx: Any, *words: bytes) -> int:  # noqa: ANN401
        path, *options = map(_text, words)
        if visit := ctx.getpriv():
            visit.in_mail = True
        return self._step(ctx, wire.MailFrom(path, tuple(options)))

    def _rcpt(self, ctx: Any, *words: bytes) -> int:  # noqa: ANN401
        path, *options = map(_text, words)
        return self._step(ctx, wire.RcptTo(path, tuple(options)))

    def _header(self, ctx: Any, name: str, value: bytes) -> int:  # noqa: ANN401
        visit = ctx.getpriv()
        if visit is not None and not visit.terms.leading_space:
            value = spaced(value)
        return self._step(ctx, wire.Header(name.encode(), value))

    def _end_of_headers(self, ctx: Any) -> int:  # noqa: ANN401
        return self._step(ctx, wire.EndOfHeaders())

    def _body(self, ctx: Any, data: bytes) -> int:  # noqa: ANN401
        return self._step(ctx, wire.BodyChunk(data))

    def _end_of_message(self, ctx: Any) -> int:  # noqa: ANN401
        return self._ended_mail(ctx, wire.EndOfMessage())

    def _abort(self, ctx: Any) -> int:  # noqa: ANN401
        self._ended_mail(ctx, wire.Abort())
        return int(libmilter.CONTINUE)

    def _ended_mail(self, ctx: Any, event: wire.Event) -> int:  # noqa: ANN401
        try:
            return self._step(ctx, event)
        finally:
            if visit := ctx.getpriv():
                self._at_rest(visit)

    def _close(self, ctx: Any) -> int:  # noqa: ANN401
        visit = ctx.getpriv()
        if visit is not None:
            self._visits.discard(visit)
            self._tell(visit.front.abort)
            self._at_rest(visit)
        return int(libmilter.CONTINUE)

    def _step(self, ctx: Any, event: wire.Event) -> int:  # noqa: ANN401
        visit: Visit | None = ctx.getpriv()
        if visit is None:  # its negotiation was refused
            return int(libmilter.TEMPFAIL)
        try:
            visit.note_macros(ctx.getsymval, event.command)
            if not visit.terms.replies_to(event.command):
                visit.gather(event)
                return int(libmilter.NOREPLY)
            if not visit.met and visit.terms.sends(Command.CONNECT):
                return int(libmilter.TEMPFAIL)  # pymilter could not read its name
            return _say(ctx, visit.answers(event, ctx.progress), visit.terms)
        except concurrent.futures.CancelledError:
            return int(libmilter.TEMPFAIL)  # we are closing
        except Exception:  # the wall around a connection
            _log.exception("%s: a step ended by an error of ours", self._name)
            return int(libmilter.TEMPFAIL)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _connect(hostname: str, family: int, where: Any) -> wire.Connect:  # noqa: ANN401
    if family == socket.AF_INET:
        return wire.Connect(hostname, "inet", where[0], where[1])
    if family == socket.AF_INET6:
        return wire.Connect(hostname, "inet6", where[0], where[1])
    if family == socket.AF_UNIX and where:
        return wire.Connect(hostname, "unix", where)
    return wire.Connect(hostname)


# --- what we say, by libmilter's calls


def _say(ctx: Any, messages: Sequence[wire.Message], terms: Terms) -> int:  # noqa: ANN401
    *edits, answer = messages
    for edit in edits:
        if terms.may(replies.action_of(edit) or 0):
            for command, payload in Packets().cut(replies.encode(edit, terms)):
                _edit(ctx, command, payload)
        else:
            _log.warning("the MTA does not let us %s", type(edit).__name__)
    if isinstance(answer, Reply):
        _reply(ctx, answer, terms)
        return int(libmilter.REJECT if answer.code >= 500 else libmilter.TEMPFAIL)
    return int(_STATUS[answer])  # type: ignore[index]


_STATUS: Mapping[Answer, int] = (
    {}
    if libmilter is None
    else {
        Answer.ACCEPT: libmilter.ACCEPT,
        Answer.CONTINUE: libmilter.CONTINUE,
        Answer.REJECT: libmilter.REJECT,
        Answer.TEMPFAIL: libmilter.TEMPFAIL,
        Answer.DISCARD: libmilter.DISCARD,
    }
)


def _edit(ctx: Any, command: int, payload: bytes) -> None:  # noqa: ANN401
    """Make the call that writes such a packet; our codec has cleaned and cut the values."""
    if command == ord("b"):
        ctx.replacebody(payload)
        return
    index = 0
    if command in b"im":
        index, payload = LONG.unpack_from(payload)[0], payload[LONG.size :]
    first, *rest = payload[:-1].decode("utf-8", "replace").split("\0")
    match chr(command):
        case "h":
            ctx.addheader(first, rest[0])
        case "i":
            ctx.addheader(first, rest[0], index)
        case "m":
            ctx.chgheader(first, index, rest[0])
        case "e":
            ctx.chgfrom(first, *rest)
        case "+" | "2":
            ctx.addrcpt(first, *rest)
        case "-":
            ctx.delrcpt(first)
        case "q":
            ctx.quarantine(first)


def _reply(ctx: Any, reply: Reply, terms: Terms) -> None:  # noqa: ANN401
    packed = replies.encode(reply, terms)[5:-1].decode("ascii")
    lines = [line[4:].partition(" ") for line in packed.split("\r\n")]
    ctx.setreply(packed[:3], lines[0][0], *(text for _, _, text in lines))
