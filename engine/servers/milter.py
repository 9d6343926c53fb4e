"""The milter front end: an MTA's words become six calls, verdicts replies.

It does no I/O, so that three runtimes share it (`milter_native`, `milter_pure`,
`milter_lib`): each feeds events and writes the messages that come back.

What an MTA is asked to send, and to wait for, is derived from the plan (`wants`).  A
connection keeps the plan that it was negotiated for when a new one would need more.

Fails: only by what the transaction lets through (`Bug`); bad addresses are kept as text, and
a mail that the spool has no room for is refused for now.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import RemoveRecipient
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.headers import Field, Headers
from millrace.engine.mail.message import BodyWriter, Listener, Message
from millrace.engine.mail.session import Helo, Login, Peer, Tls
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action, Because, Reply, Verdict
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving, Transaction
from millrace.engine.pressure import FULL, Load, Pressure
from millrace.engine.servers.milter_edits import in_order
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Act, Answer, Command

HEADER_OCTETS = 1 << 20
_log = logging.getLogger("millrace.milter")
_ALL_ACTIONS = Act(0x1FF) & ~Act.SET_SYMBOLS
_ALWAYS = frozenset({Command.CONNECT, Command.HELO, Command.MAIL, Command.RCPT})
_HEADER_WORDS = ("headers", "from", "envelope", "message", "edited")
_MAIL_MACROS = ("i", "auth_authen", "auth_type", "tls_version", "cipher", "verify")
_SYMBOLS = {
    Command.CONNECT: ("j",),
    Command.MAIL: _MAIL_MACROS,
    Command.END_OF_HEADERS: ("i",),
    Command.END_OF_MESSAGE: ("i",),
}
_TOO_LARGE = Reply(552, "5.3.4", "This mail is larger than we take")
_DISK = Reply(452, "4.3.1", "No room for the mail now, try again later")
_TOO_MANY = Reply(452, "4.5.3", "Too many recipients in one mail")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one mail: octets, recipients, and above which octets a body is spooled.

    `pressure` bounds all mails together.
    """

    message: int = 50 << 20
    recipients: int = 1000
    spool_above: int = 1 << 20
    pressure: Pressure | None = None


@functools.lru_cache(maxsize=32)  # plans are few, connections many
def wants(plan: Plan) -> wire.Wants:
    """What the MTA must tell us, and where it must wait, so that this plan can do its work."""
    steps = {
        Command.CONNECT: plan.steps[Stage.CONNECT].answers,
        Command.HELO: plan.steps[Stage.HELO].answers,
        Command.MAIL: plan.steps[Stage.MAIL].answers,
        Command.RCPT: plan.recipient.answers,
        Command.END_OF_HEADERS: plan.steps[Stage.HEADERS].answers,
    }
    return _wants(
        frozenset(command for command, answers in steps.items() if answers),
        headers=any(plan.wants(word) for word in _HEADER_WORDS),
        body=plan.wants("message") or plan.wants("edited"),
    )


@functools.cache  # what two plans want alike is one value
def _wants(replies: frozenset[Command], *, headers: bool, body: bool) -> wire.Wants:
    events = set(_ALWAYS)  # the record of a mail names its peer and envelope, whoever asks
    if headers:
        events |= {Command.HEADER, Command.END_OF_HEADERS}
    if body:
        events.add(Command.BODY)
    return wire.Wants(
        events=frozenset(events),
        replies=replies,
        actions=_ALL_ACTIONS,
        skip=False,
        symbols=_SYMBOLS,
    )


class MilterFrontEnd:
    """One connection from an MTA, which may bring many peers and mails."""

    def __init__(self, serving: Serving, listener: str, bounds: Bounds) -> None:
        self._shared = serving
        self._serving = serving.apart()  # its plan is this connection's
        self._bounds = bounds
        self._listener = listener
        self._visit_macros: dict[str, str] = {}
        self._mail_macros: dict[str, str] = {}
        self._transaction = Transaction(self._serving, listener)
        self._client = ""
        self._load: Load | None = None
        self.wants = wants(serving.plan)
        self._clean()

    def _forget(self) -> None:
        self._unload()
        if self._begun or self._owed or self._fields:
            self._clean()

    def _clean(self) -> None:
        self._fields: list[Field] = []
        self._section: Headers | None = None
        self._octets = 0
        self._body = BodyWriter(self._bounds.spool_above, listen=self._listeners)
        self._dropped: list[Address] = []
        self._owed: Sequence[wire.Message] = ()  # a refusal that nobody waited for yet
        self._begun = False

    # --- what needs no answer and no waiting

    def note(self, event: wire.Event) -> bool:
        """Take what is only collected; False for an event that `take` must see."""
        kind = type(event)
        if kind is wire.Header:  # dozens in a mail
            self._note_header(event)  # type: ignore[arg-type]
        elif kind is wire.Macros:
            self._note_macros(event)  # type: ignore[arg-type]
        elif kind is wire.BodyChunk:
            self._note_body(event.data)  # type: ignore[union-attr]
        else:
            return kind is wire.Data or kind is wire.Unknown
        return True

    def _note_macros(self, macros: wire.Macros) -> None:
        # an MTA may tell of TLS at HELO alone, and mean all mails of the connection
        of_visit = macros.stage in (Command.CONNECT, Command.HELO)
        (self._visit_macros if of_visit else self._mail_macros).update(macros.values)

    def _note_header(self, field: Field) -> None:
        name, value = field
        self._octets += len(name) + len(value)
        if self._octets > HEADER_OCTETS:
            self._owed = self._owed or (_TOO_LARGE,)
        else:
            folded = b"\n" in value
            self._fields.append(Field(name, wire.wire_value(value)) if folded else field)

    def _note_body(self, data: bytes) -> None:
        if self._owed:
            return  # nobody will read it
        if self._body.size + len(data) > self._bounds.message:
            self._refuse_body(_TOO_LARGE)
        elif self._load is not None and not self._load.grow(len(data)):
            self._refuse_body(FULL)
        else:
            self._spool(data)

    def _spool(self, data: bytes) -> None:
        try:
            self._body.write(data)
        except OSError as error:
            self._no_room(error)

    def _no_room(self, error: OSError) -> None:
        _log.error("the spool takes no mail: %s", error)
        self._refuse_body(_DISK)

    def _refuse_body(self, reply: Reply) -> None:
        self._owed = (reply,)
        self._body = BodyWriter(self._bounds.spool_above)
        self._unload()

    def _unload(self) -> None:
        if self._load is not None:
            self._load.end()
            self._load = None

    def _listeners(self) -> Mapping[Hashable, Listener]:
        return self._transaction.listeners(self._headers())

    # --- what is answered

    async def take(self, event: wire.Event) -> Sequence[wire.Message]:
        """The reply to one event: the edits, if it is the last, and the answer."""
        step = self._STEPS.get(type(event))
        if step is not None:
            return await step(self, event)
        if isinstance(event, wire.Abort | wire.QuitNewConnection | wire.Quit):
            self.abort()
        return (Answer.CONTINUE,)

    def abort(self) -> None:
        """The mail ends here; the connection may go on."""
        self._transaction.abort()
        self._mail_macros.clear()
        self._forget()

    async def _connect(self, event: wire.Connect) -> Sequence[wire.Message]:
        peer = _peer(event)
        self._client = peer.ip
        return self._reply(await self._transaction.connect(peer))

    async def _helo(self, event: wire.Helo) -> Sequence[wire.Message]:
        return self._reply(await self._transaction.helo(Helo(event.name)))

    async def _mail(self, event: wire.MailFrom) -> Sequence[wire.Message]:
        self._transaction.abort()
        self._forget()
        if self._shared.plan is not self._serving.plan and self._covered(self._shared.plan):
            self._serving.plan = self._shared.plan
        if not self._take_on():
            return self._owed
        self._begun = True
        sender = Sender(_address(event.path), event.options)
        macros = self._visit_macros | self._mail_macros
        tls, login, queue_id = _tls(macros), _login(macros), macros.get("i", "")
        return self._reply(await self._transaction.mail(sender, id=queue_id, tls=tls, login=login))

    def _take_on(self) -> bool:
        """Whether there is room for one more mail."""
        if self._bounds.pressure is not None:
            self._load = self._bounds.pressure.begin(self._client)
            self._owed = (FULL,) if self._load is None else ()
        return not self._owed

    def _covered(self, plan: Plan) -> bool:
        """Whether what was negotiated suffices for another plan."""
        new = wants(plan)
        return new.events <= self.wants.events and new.replies <= self.wants.replies

    async def _rcpt(self, event: wire.RcptTo) -> Sequence[wire.Message]:
        if self._owed:
            return self._owed
        if len(self._transaction.recipients) >= self._bounds.recipients:
            return (_TOO_MANY,)
        address = _address(event.path) or Address("", "")
        verdict = await self._transaction.rcpt(Recipient(address, event.options))
        if verdict.action is Action.DISCARD:
            self._dropped.append(address)  # a milter's "discard" would take the others too
            return (Answer.CONTINUE,)
        return _refusal(verdict) or (Answer.CONTINUE,)

    async def _end_of_headers(self, _: wire.EndOfHeaders) -> Sequence[wire.Message]:
        if self._begun and self._load is not None and not self._load.grow(self._octets):
            self._refuse_body(FULL)
        if self._owed or not self._begun:
            return self._owed or (Answer.CONTINUE,)
        self._adopt_id()
        return self._reply(await self._transaction.headers(self._headers()))

    async def _end_of_message(self, event: wire.EndOfMessage) -> Sequence[wire.Message]:
        if event.data:
            self._note_body(event.data)
        answer = await self._whole()
        self._mail_macros.clear()
        self._unload()
        return answer

    async def _whole(self) -> Sequence[wire.Message]:
        if self._begun and _TOO_LARGE in self._owed:
            self._adopt_id()
            because = Because("limit", "the mail is larger than we take", Stage.BODY.name)
            self._transaction.conclude(Verdict(Action.REJECT, _TOO_LARGE, because))
        if self._owed or not self._begun:
            return self._owed or (Answer.ACCEPT,)
        if self._dropped and not self._transaction.recipients:
            return (Answer.DISCARD,)
        self._adopt_id()
        try:
            message = Message(self._headers(), self._body.finish())
        except OSError as error:
            self._no_room(error)
            return self._owed
        verdict = await self._transaction.message(message)
        if not verdict.refuses:
            verdict = await self._transaction.settle()
        if verdict.refuses:
            return _refusal(verdict)
        return (*self._edits(), *_quarantine(verdict), Answer.ACCEPT)

    def _adopt_id(self) -> None:
        # Postfix names the queue file after the first recipient only
        if queue_id := self._mail_macros.get("i"):
            self._transaction.id = queue_id

    def _headers(self) -> Headers:
        if self._section is None or len(self._section) != len(self._fields):
            self._section = Headers.of(self._fields)
        return self._section

    def _edits(self) -> Sequence[wire.Message]:
        removed = [RemoveRecipient(address) for address in self._dropped]
        edits = (*self._transaction.edits, *removed)
        return in_order(self._headers(), edits) if edits else ()

    def _reply(self, verdict: Verdict) -> Sequence[wire.Message]:
        if self._owed:
            return self._owed
        self._owed = _refusal(verdict)
        return self._owed or (Answer.CONTINUE,)

    _STEPS: ClassVar[Mapping[type, Callable[[Any, Any], Awaitable[Sequence[wire.Message]]]]] = {
        wire.Connect: _connect,
        wire.Helo: _helo,
        wire.MailFrom: _mail,
        wire.RcptTo: _rcpt,
        wire.EndOfHeaders: _end_of_headers,
        wire.EndOfMessage: _end_of_message,
    }


def _refusal(verdict: Verdict) -> Sequence[wire.Message]:
    if not verdict.refuses:
        return ()
    match verdict.action:
        case Action.REJECT:
            return (verdict.reply or Answer.REJECT,)
        case Action.DEFER:
            return (verdict.reply or Answer.TEMPFAIL,)
        case Action.DISCARD:
            return (Answer.DISCARD,)
    return ()


def _quarantine(verdict: Verdict) -> Sequence[wire.Message]:
    if verdict.action is not Action.QUARANTINE:
        return ()
    because = verdict.because
    told = f"{because.rule}: {because.why}" if because else "policy"
    return (wire.Quarantine(verdict.hold or told),)


def _peer(event: wire.Connect) -> Peer:
    name = event.hostname
    rdns = "" if name.startswith("[") or name == "unknown" else name.lower().rstrip(".")
    if event.family not in ("inet", "inet6"):
        return Peer("", 0, rdns)
    try:
        return Peer.at(event.address.removeprefix("IPv6:"), event.port, rdns)
    except ValueError:
        return Peer("", event.port, rdns)


def _address(path: str) -> Address | None:
    try:
        return Address.parse(path)
    except ValueError:
        return Address(path.strip("<>"), "")  # the MTA took it; it is kept as it came


def _tls(macros: Mapping[str, str]) -> Tls | None:
    version = macros.get("tls_version", "")
    if not version:
        return None
    return Tls(version, macros.get("cipher", ""), macros.get("verify") == "OK")


def _login(macros: Mapping[str, str]) -> Login | None:
    user = macros.get("auth_authen", "")
    return Login(user, macros.get("auth_type", "")) if user else None
