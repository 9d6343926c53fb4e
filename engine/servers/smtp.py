"""The SMTP door: one connection, one transaction's six calls, one next hop.

RFC 5321.  The answer to the end of data is given when the next hop has taken the edited
mail, so nothing is ours to lose: what cannot be handed on is refused for now, and the
sender keeps it.  A trusted proxy (Postfix's smtpd_proxy_filter) names the real client
by XFORWARD; the filters then see that client, not the proxy.

Fails: never.  Trouble with a peer ends its connection, with a 421 where it can still
hear one; anything else that goes wrong is logged with its traceback and does the same.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.mail.message import SPOOL_ABOVE
from millrace.engine.mail.verdict import Reply
from millrace.engine.net.stream import Stream
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.ports import NextHop
from millrace.engine.pressure import Pressure
from millrace.engine.servers.smtp_mail import Conversation, House
from millrace.engine.wire.smtp import Limits, SmtpServer
from millrace.engine.wire.smtp.events import (
    Connected,
    DataBegin,
    DataChunk,
    DataEnd,
    DataFailed,
    Event,
    Hello,
    MailFrom,
    Question,
    Quit,
    RcptTo,
    Reset,
    StartTls,
    XClient,
    XForward,
)

FULL = b"421 4.3.2 Too many connections, try again later\r\n"  # for Listener
_log = logging.getLogger("millrace.smtp")
_SLOW = Reply(421, "4.4.2", "Too slow, good bye")
_DOWN = Reply(421, "4.3.2", "This server is going down, try again later")
_TROUBLE = Reply(421, "4.3.0", "Trouble here, try again later")
_BEHIND_TLS = Reply(421, "4.7.0", "Text behind STARTTLS")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Door:
    """What one SMTP listener is.

    `name` is our host name; `listener` its name in records; peers in `trusted` (and any on
    a Unix socket) may use XFORWARD and XCLIENT; quarantined mail goes to `quarantine`, or
    marked to `hop`; `session` is the longest connection in seconds; a body of more than
    `spool_above` octets goes to disk; `pressure` bounds all mails together.
    """

    name: str
    hop: NextHop
    listener: str = "smtp"
    limits: Limits = field(default_factory=Limits)
    tls: ssl.SSLContext | None = None
    trusted: Sequence[Network] = ()
    quarantine: NextHop | None = None
    session: float = 1800.0
    spool_above: int = SPOOL_ABOVE
    pressure: Pressure | None = None

    @property
    def house(self) -> House:
        """What a conversation needs to know of it."""
        hops = (self.hop, self.quarantine)
        return House(self.name, self.listener, *hops, self.spool_above, self.pressure)

    def trusts(self, ip: str) -> tuple[str, ...]:
        """What this peer may say in another's name."""
        both = ("XFORWARD", "XCLIENT")
        if not ip:
            return both
        address = ipaddress.ip_address(ip)
        return both if any(address in network for network in self.trusted) else ()


class SmtpFrontEnd:
    """Serves connections; `serve` is what a Listener wants."""

    def __init__(self, serving: Serving, door: Door) -> None:
        self._serving = serving
        self._door = door

    async def serve(self, stream: Stream) -> None:
        """One connection, to its end; this is a wall."""
        visit = _Visit(self._serving, self._door, stream)
        try:
            async with asyncio.timeout(self._door.session):
                await visit.run()
        except TimeoutError:
            visit.leave(_SLOW)
        except (ConnectionError, ProtocolError) as error:
            _log.info("%s: %s", stream.peer.ip or "local", error)
        except asyncio.CancelledError:
            visit.leave(_DOWN)
            raise
        except Exception:  # the wall around a connection: no peer stops the engine
            _log.exception("%s: trouble in a connection", stream.peer.ip or "local")
            visit.leave(_TROUBLE)
        finally:
            visit.talk.gone()


class _Visit:
    """The wire core, the stream, and the conversation between them."""

    def __init__(self, serving: Serving, door: Door, stream: Stream) -> None:
        trusts = door.trusts(stream.peer.ip)
        self._door = door
        self._stream = stream
        self._core = SmtpServer(door.name, door.limits, tls=door.tls is not None, trusts=trusts)
        self.talk = Conversation(serving, door.house, stream.peer)
        self.talk.patient = bool(trusts)

    async def run(self) -> None:
        """Until one of both has enough."""
        while True:
            while (event := self._core.event()) is not None:
                await self._hear(event)
                if not isinstance(event, DataChunk):
                    self._stream.begin()
            await self._stream.send(self._core.outgoing())
            if self._core.closed:
                return
            self._stream.at_rest = not self.talk.in_mail
            data = await self._stream.read()
            if not data:
                if self._stream.retired:
                    self.leave(_DOWN)
                return
            self._core.feed(data)

    def leave(self, reply: Reply) -> None:
        """A last word, if the peer still listens."""
        if not self._core.closed:
            self._core.refuse(reply)
            self._stream.write(self._core.outgoing())

    async def _hear(self, event: Event) -> None:
        if not isinstance(event, Question):
            self._note(event)
            return
        try:
            reply = await self._reply(event)
        except ProtocolError as error:
            reply = Reply.parse(error.reply)
        self._core.answer(reply)
        if isinstance(event, StartTls) and not self._core.closed:
            await self._encrypt()

    def _note(self, event: Event) -> None:
        match event:
            case DataChunk(data):
                self.talk.data(data)
            case DataFailed() | Reset() | Quit():
                self.talk.gone()

    async def _reply(self, event: Question) -> Reply | None:
        talk = self.talk
        match event:
            case Connected():
                return await talk.connected()
            case Hello():
                return await talk.hello(event.name, event.extended)
            case MailFrom():
                return await talk.mail(event, self._stream.tls)
            case RcptTo():
                return await talk.rcpt(event)
            case DataBegin():
                return talk.data_begins()
            case DataEnd():
                return await talk.data_ends()
            case XForward(attributes):
                return talk.forwarded(attributes)
            case XClient(attributes):
                return talk.impersonated(attributes)
            case StartTls():
                return self._may_encrypt()

    def _may_encrypt(self) -> Reply | None:
        # from here on the client's first TLS octets must stay in the kernel
        self._stream.hold()
        return _BEHIND_TLS if self._stream.pending else None

    async def _encrypt(self) -> None:
        context = self._door.tls
        if context is None:
            raise Bug("STARTTLS was offered without a certificate")
        await self._stream.send(self._core.outgoing())
        await self._stream.start_tls(context)
        self._core.tls_started()
        self.talk.gone()
