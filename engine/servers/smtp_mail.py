"""What is said in one SMTP connection, turned into the transaction's six calls.

RFC 5321 §3.  Each method answers one question of the wire: a Reply, or None for the
usual yes.  A discarded mail is answered like a taken one, and goes nowhere.

With a proxy (`patient`) the transaction hears of the client only when MAIL comes, since
XFORWARD may still say who it is.

Fails: ProtocolError, with the reply due, where a proxy names a client that is none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from millrace.engine.errors import ProtocolError, Unavailable
from millrace.engine.mail.edits import Edited, edited, field_of
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.headers import Field, Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Peer, Tls
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import PASS, Action, Because, Reply, Verdict
from millrace.engine.mailauth.iprev import confirmed_name
from millrace.engine.pipeline.transaction import Serving, Transaction
from millrace.engine.ports import NextHop
from millrace.engine.pressure import FULL, Load, Pressure
from millrace.engine.servers.intake import Intake
from millrace.engine.servers.origin import Origin
from millrace.engine.servers.received import HOPS_MAX, received
from millrace.engine.wire.smtp.events import MailFrom, RcptTo

_log = logging.getLogger("millrace.smtp")
_LATER = Reply(451, "4.7.1", "Not now, try again later")
_NO = Reply(550, "5.7.1", "Not accepted")
_LOOP = Reply(554, "5.4.6", "Too many hops, this mail goes in circles")
_DISK = Reply(452, "4.3.1", "No room for the mail now, try again later")
_AWAY = Reply(451, "4.4.1", "The mail cannot be handed on now, try again later")

Attributes = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class House:
    """Ours: host name, listener's name in records, next hops, and when a body goes to disk.

    `pressure` bounds all mails together.
    """

    name: str
    listener: str
    hop: NextHop
    quarantine: NextHop | None
    spool_above: int
    pressure: Pressure | None = None


class Conversation:
    """One connection's mails."""

    def __init__(self, serving: Serving, house: House, peer: Peer) -> None:
        self.patient = False
        self._serving = serving
        self._house = house
        self._tx = Transaction(serving, house.listener)
        self._client = Origin(peer)  # of the connection
        self._origin = self._client  # of the mail
        self._told: Origin | None = None  # what the transaction has heard
        self._met = PASS  # the verdict on the peer
        self._visit = PASS  # and with its greeting
        self._tls: Tls | None = None
        self._sender = Sender(None)
        self._load: Load | None = None
        self._begin_nothing()

    def _begin_nothing(self) -> None:
        self.in_mail = False
        self._discards = False
        self._utf8 = False
        self._intake: Intake | None = None
        self._broken: Reply | None = None
        self._unload()

    def _unload(self) -> None:
        if self._load is not None:
            self._load.end()
            self._load = None

    # --- the visit

    async def connected(self) -> Reply | None:
        """The greeting."""
        if self.patient:
            return None
        reply = _refusal(await self._tell())
        if reply is None:
            return None
        # RFC 5321 §3.1 and §3.8: a greeting is 220, 554 or 421
        return replace(reply, code=421 if reply.code < 500 else 554)

    async def hello(self, name: str, extended: bool) -> Reply | None:
        """EHLO or HELO."""
        self.gone()
        self._client = replace(self._client, helo=Helo(name, extended))
        self._origin = self._client
        return None if self.patient else _refusal(await self._tell())

    def forwarded(self, attributes: Attributes) -> Reply | None:
        """XFORWARD: who sends the next mail."""
        self._origin = self._origin.told(attributes)
        return None

    def impersonated(self, attributes: Attributes) -> Reply | None:
        """XCLIENT: who is on this connection."""
        self._client = self._origin = Origin(self._client.peer).told(attributes)
        return None

    async def _tell(self) -> Verdict:
        """Let the transaction know the client, once for each that it is."""
        if not self._origin.named:
            await self._look_up()
        origin, told = self._origin, self._told
        self._told = origin
        if told is None or told.peer != origin.peer:
            self._met = self._visit = await self._tx.connect(origin.peer)
            told = None
        if self._met.refuses:
            return self._met
        if origin.helo and (told is None or told.helo != origin.helo):
            self._visit = await self._tx.helo(origin.helo)
        return self._visit

    async def _look_up(self) -> None:
        dns = self._serving.ports().get("dns")
        if dns is None:
            return
        ours = self._client.peer == self._origin.peer
        peer = self._origin.peer
        peer = replace(peer, rdns=await confirmed_name(dns, peer.ip))
        self._origin = replace(self._origin, peer=peer, named=True)
        if ours:
            self._client = replace(self._client, peer=peer, named=True)

    # --- one mail

    async def mail(self, said: MailFrom, tls: Tls | None) -> Reply | None:
        """MAIL."""
        self._tls, self._utf8 = tls, said.utf8
        if not self._take_on(said):
            return FULL
        verdict = await self._tell()
        if not verdict.refuses:
            self._sender = Sender(said.address, said.options)
            verdict = await self._tx.mail(self._sender, tls=tls, login=self._origin.login)
        self._discards = verdict.action is Action.DISCARD
        reply = _refusal(verdict)
        self.in_mail = reply is None
        if not self.in_mail:
            self._unload()
        return reply

    def _take_on(self, said: MailFrom) -> bool:
        """Whether there is room for one more mail, of the size that is said (RFC 1870)."""
        pressure = self._house.pressure
        if pressure is None:
            return True
        self._load = pressure.begin(self._origin.peer.ip, said.size)
        return self._load is not None

    async def rcpt(self, said: RcptTo) -> Reply | None:
        """RCPT."""
        if self._discards:
            return None
        return _refusal(await self._tx.rcpt(Recipient(said.address, said.options)))

    def data_begins(self) -> Reply | None:
        """DATA."""
        # yes was said to recipients that a rule discards, and nobody else is left
        self._discards = self._discards or not self._tx.recipients
        self._intake = Intake(self._house.spool_above, self._tx.listeners)
        return None

    def data(self, chunk: bytes) -> None:
        """A piece of the mail."""
        if self._intake is None or self._broken or self._discards:
            return
        if self._load is not None and not self._load.grow(len(chunk)):
            self._broken, self._intake = FULL, Intake(self._house.spool_above)
            self._unload()
            return
        try:
            self._intake.write(chunk)
        except ProtocolError as error:
            self._broken = Reply.parse(error.reply)
        except OSError as error:
            self._broken = _no_room(error)

    async def data_ends(self) -> Reply | None:
        """The end of data: judge, deliver, and only then say yes."""
        intake, broken, discards = self._intake, self._broken, self._discards
        try:
            if broken or discards or intake is None:
                return broken
            try:
                message = intake.finish()
            except OSError as error:
                return _no_room(error)
            if len(message.headers.all(b"received")) > HOPS_MAX:
                return _LOOP
            verdict = await self._tx.message(message)
            if not verdict.refuses:
                verdict = await self._tx.settle(in_hand=True)
            if verdict.refuses:
                return _refusal(verdict)
            answer = await self._hand_on(verdict, message)
            self._tx.conclude(_of_next_hop(answer))
            return answer
        finally:
            self.gone()

    def gone(self) -> None:
        """The mail, if there was one, is over."""
        self._tx.abort()
        self._begin_nothing()
        self._origin = self._client

    async def _hand_on(self, verdict: Verdict, message: Message) -> Reply | None:
        mail = self._edited(message)
        if not mail.envelope.recipients:
            return None  # an edit removed them all
        taken = Reply(250, "2.0.0", f"Taken as {self._tx.id}")
        hop, held = self._house.hop, self._house.quarantine
        fields = [self._received()]
        if verdict.action is Action.QUARANTINE:
            reason = verdict.hold or (verdict.because.rule if verdict.because else "")
            fields += [] if held else [field_of("X-Millrace-Quarantine", reason)]
            hop = held or hop
        return await self._deliver(hop, mail, fields) or taken

    def _edited(self, message: Message) -> Edited:
        # a plan in which nobody asks for the edited mail leaves the edits to us
        if self._tx.edited is not None:
            return self._tx.edited
        envelope = Envelope(self._tx.id, self._sender, self._tx.recipients)
        return edited(envelope, message, self._tx.edits)

    async def _deliver(self, hop: NextHop, taken: Edited, fields: list[Field]) -> Reply | None:
        mail = taken.message
        message = Message(Headers([*fields, *mail.headers]), mail.body, mail.separator)
        try:
            reply = (await hop.deliver(taken.envelope, message)).reply
        except Unavailable as error:
            _log.warning("%s is not delivered: %s", self._tx.id, error)
            return _AWAY
        _log.info("%s to %s: %s", self._tx.id, hop, reply)
        return None if reply.code < 300 else reply

    def _received(self) -> Field:
        origin, now = self._origin, self._serving.clock.now()
        helo = origin.helo or Helo("", extended=False)
        return received(
            self._tx.id, self._house.name, origin.peer, helo, self._tls, now=now, utf8=self._utf8
        )


def _no_room(error: OSError) -> Reply:
    _log.error("the spool takes no mail: %s", error)
    return _DISK


def _of_next_hop(answer: Reply | None) -> Verdict | None:
    if answer is None or answer.code < 400:
        return None
    because = Because("next-hop", f"it was not handed on: {answer}", Stage.SETTLED.name)
    return Verdict(Action.DEFER if answer.code < 500 else Action.REJECT, answer, because)


def _refusal(verdict: Verdict) -> Reply | None:
    if not verdict.refuses or verdict.action is Action.DISCARD:
        return None
    return verdict.reply or (_LATER if verdict.action is Action.DEFER else _NO)
