"""The server role of SMTP: bytes in, events out, replies in order.

RFC 5321; RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531
(SMTPUTF8), RFC 2034 (ENHANCEDSTATUSCODES), RFC 3207 (STARTTLS).

    server.feed(data)      what the wire gave
    server.event()         what was said, or None: send, then read more
    server.answer(reply)   for a question; without a reply the usual yes
    server.outgoing()      bytes to send, replies in the order of the commands

Syntax, order and limits are judged here and answered at once (`Refused`).  After a
question nothing more is read until it is answered, so that a pipelined command
always meets the state that the answers before it made.

Fails: never for what the peer says; `closed` tells that the connection must end
once `outgoing` is sent.  Bug when the driver answers what was not asked.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.lines import Lines
from millrace.engine.wire.smtp import commands
from millrace.engine.wire.smtp.data import DataReader
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
    Refused,
    Reset,
    StartTls,
    XClient,
    XForward,
)
from millrace.engine.wire.smtp.order import Order
from millrace.engine.wire.smtp.replies import encode

_HARMLESS = {
    "NOOP": Reply(250, "2.0.0", "Ok"),
    "HELP": Reply(214, "2.0.0", "See RFC 5321"),
    "VRFY": Reply(252, "2.1.5", "Send a mail and see"),  # RFC 5321 §3.5.3
}
# After these the peer's next bytes are no commands: a chunk's octets (RFC 3030), or the
# rest of a web form that a browser was made to send here.
_FATAL = frozenset(("BDAT", "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS"))
_BARE = Reply(554, "5.6.0", "The mail holds a bare CR or LF")
_TOO_BIG = Reply(552, "5.3.4", "The mail is too big")
_TOO_MANY = Reply(421, "4.7.0", "Too many errors")
_BEHIND_TLS = Reply(554, "5.5.1", "Text behind STARTTLS")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection.

    `size` is the largest mail, `line` the longest command with its CRLF (RFC 5321
    §4.5.3.1.4 says 512; parameters and UTF-8 add to it), both in octets.  After more
    than `errors` refusals by the core itself the connection ends.
    """

    size: int = 50 << 20
    recipients: int = 1000
    line: int = 2048
    errors: int = 20


class SmtpServer:
    """One connection.

    `name` is our host name; `tls` says that STARTTLS is offered; `trusts` holds what this
    peer may use of "XFORWARD" and "XCLIENT".
    """

    def __init__(
        self,
        name: str,
        limits: Limits | None = None,
        *,
        tls: bool = False,
        trusts: Collection[str] = (),
    ) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.closed = False
        self.encrypted = False
        self._offers_tls = tls
        self._trusts = frozenset(trusts)
        self._order = Order(self.limits.recipients)
        self._lines = Lines(self.limits.line)
        self._out: list[bytes] = []
        self._open: Question | None = None
        self._shaking = False  # 220 was said to STARTTLS
        self._data: DataReader | None = None
        self._ended = False  # the end of the data was seen, and not reported yet
        self._errors = 0

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        if self._shaking:
            # RFC 3207 §4.2: nothing said in clear may count once TLS is there
            self.refuse(_BEHIND_TLS)
        if not self.closed:
            self._lines.feed(data)

    def event(self) -> Event | None:
        """What comes next, or None: send `outgoing`, then feed more unless `closed`."""
        if self._open is not None:
            raise Bug(f"{type(self._open).__name__} was not answered")
        if self.closed or self._shaking:
            return None
        if not self._order.greeted:
            return self._ask(Connected())
        return self._next_data() if self._data else self._next_command()

    def answer(self, reply: Reply | None = None) -> None:
        """Answer the question that `event` gave; None is the usual yes."""
        question, self._open = self._open, None
        if question is None:
            raise Bug("there was no question")
        given = reply or self._yes(question)
        self._say(given)
        self._order.turn(question, given)
        if isinstance(question, DataBegin) and given.code == 354:
            self._data = DataReader()
        self._shaking = isinstance(question, StartTls) and given.code < 400
        self.closed = self.closed or given.code == 421

    def refuse(self, reply: Reply) -> None:
        """Say something unasked, and end: a 421 for a time-out or a shutdown."""
        self._open = None
        self._say(reply)
        self.closed = True

    def tls_started(self) -> None:
        """The handshake is done: what was learnt in clear is forgotten (RFC 3207 §4.2)."""
        if not self._shaking:
            raise Bug("TLS was not agreed upon")
        self._shaking = False
        self.encrypted = True
        self._order.forget_visit()

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    # --- commands

    def _next_command(self) -> Event | None:
        while not self.closed:
            try:
                line = self._lines.take()
            except ProtocolError as error:
                return self._end(Reply(500, "5.5.2", f"That was {error}"))
            if line is None:
                return None
            if event := self._command(line):
                return event
        return None

    def _command(self, line: bytes) -> Event | None:
        try:
            verb, argument = commands.words(line)
            if verb == "QUIT":
                return self._quit()
            self._order.admit(verb)
            return self._said(verb, argument)
        except ProtocolError as error:
            return self._no(Reply.parse(error.reply))

    def _said(self, verb: str, argument: str) -> Event | None:
        match verb:
            case "EHLO" | "HELO":
                return self._ask(Hello(commands.hello(argument), verb == "EHLO"))
            case "MAIL":
                return self._mail(argument)
            case "RCPT":
                mail = self._order.mail
                return self._ask(commands.rcpt(argument, mail is not None and mail.utf8))
            case "DATA" | "RSET" | "STARTTLS":
                return self._bare_verb(verb, argument)
            case "XFORWARD" if verb in self._trusts:
                return self._ask(XForward(commands.attributes(argument, commands.XFORWARD)))
            case "XCLIENT" if verb in self._trusts:
                return self._ask(XClient(commands.attributes(argument, commands.XCLIENT)))
        return self._other(verb)

    def _other(self, verb: str) -> Event | None:
        if verb in _HARMLESS:
            self._say(_HARMLESS[verb])
            return None
        if verb in _FATAL:
            return self._end(Reply(502, "5.5.1", "Not here"))
        if verb in ("AUTH", "EXPN", "TURN", "ETRN", "XFORWARD", "XCLIENT"):
            raise ProtocolError("a command not offered", "502 5.5.1 Not offered")
        raise ProtocolError("an unknown command", "500 5.5.1 Unknown command")

    def _mail(self, argument: str) -> Event:
        hello = self._order.hello
        said = commands.mail(argument, extended=hello is not None and hello.extended)
        if said.size > self.limits.size:
            return self._no(_TOO_BIG)
        return self._ask(said)

    def _bare_verb(self, verb: str, argument: str) -> Event:
        if argument:
            raise ProtocolError(f"{verb} with an argument", f"501 5.5.4 {verb} stands alone")
        if verb == "DATA":
            return self._ask(DataBegin())
        if verb == "STARTTLS":
            return self._starttls()
        self._order.forget_mail()
        self._say(Reply(250, "2.0.0", "Ok"))
        return Reset()

    def _starttls(self) -> Event:
        if not self._offers_tls or self.encrypted:
            raise ProtocolError("STARTTLS not offered", "503 5.5.1 TLS is not offered, or there")
        if len(self._lines):
            return self._end(_BEHIND_TLS)
        return self._ask(StartTls())

    def _quit(self) -> Event:
        self.refuse(Reply(221, "2.0.0", "Bye"))
        return Quit()

    # --- mail data

    def _next_data(self) -> Event | None:
        reader = self._data
        raw = b"" if self._ended else self._lines.rest()
        if reader is None or not (raw or self._ended):
            return None
        piece = b""
        if raw:
            piece, behind = reader.feed(raw)
            if behind is not None:
                self._ended = True
                self._lines.feed(behind)
        fault = self._fault(reader)
        if piece and not fault:
            return DataChunk(piece)
        if self._ended:
            return self._end_of_data(reader, fault)
        return self._flood(reader)

    def _fault(self, reader: DataReader) -> Reply | None:
        if reader.faulty:
            return _BARE
        return _TOO_BIG if reader.size > self.limits.size else None

    def _flood(self, reader: DataReader) -> Event | None:
        # what is too big is read on, since a peer that is cut off would only try again;
        # but not for ever
        if reader.size <= 2 * self.limits.size:
            return None
        self.refuse(_TOO_BIG)
        return DataFailed(_TOO_BIG)

    def _end_of_data(self, reader: DataReader, fault: Reply | None) -> Event:
        self._data = None
        self._ended = False
        if fault is None:
            return self._ask(DataEnd())
        self._order.forget_mail()
        if reader.faulty:
            # the peer, or one behind it, may see more mails here than we do: hear no more
            self.refuse(fault)
        else:
            self._no(fault)
        return DataFailed(fault)

    # --- replies

    def _ask(self, question: Question) -> Question:
        self._open = question
        return question

    def _say(self, reply: Reply) -> None:
        mail = self._order.mail
        self._out.append(encode(reply, utf8=mail is not None and mail.utf8))

    def _no(self, reply: Reply) -> Refused:
        self._say(reply)
        self._errors += 1
        if self._errors > self.limits.errors:
            self.refuse(_TOO_MANY)
        return Refused(reply)

    def _end(self, reply: Reply) -> Refused:
        self.refuse(reply)
        return Refused(reply)

    def _yes(self, question: Question) -> Reply:
        match question:
            case Connected() | XClient():
                return Reply(220, "", f"{self.name} ESMTP Millrace")
            case Hello(extended=True):
                return Reply(250, "", "\n".join([f"{self.name} greets you", *self._offers()]))
            case Hello():
                return Reply(250, "", self.name)
            case MailFrom():
                return Reply(250, "2.1.0", "Sender ok")
            case RcptTo():
                return Reply(250, "2.1.5", "Recipient ok")
            case DataBegin():
                return Reply(354, "", "Send the mail; a dot on a line of its own ends it")
            case StartTls():
                return Reply(220, "2.0.0", "Go ahead")
        return Reply(250, "2.0.0", "Ok")

    def _offers(self) -> list[str]:
        offers = ["PIPELINING", f"SIZE {self.limits.size}", "8BITMIME", "SMTPUTF8"]
        offers.append("ENHANCEDSTATUSCODES")
        if self._offers_tls and not self.encrypted:
            offers.append("STARTTLS")
        if "XFORWARD" in self._trusts:
            offers.append("XFORWARD " + " ".join(commands.XFORWARD))
        if "XCLIENT" in self._trusts:
            offers.append("XCLIENT " + " ".join(commands.XCLIENT))
        return offers
