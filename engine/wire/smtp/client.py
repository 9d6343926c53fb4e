"""The client role of SMTP and LMTP: commands in, bytes out, replies matched.

RFC 5321, RFC 2033 (LMTP), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 1870 (SIZE),
RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).

    client.mail(address); client.rcpt(address); client.data()     queue commands
    client.outgoing()      what may be sent now: all of a group when the server offers
                           PIPELINING, one command at a time when it does not
    client.feed(data)      what the wire gave
    client.answered()      the next command with its reply, or None: read more

The first answer is the greeting, to "".  After a 354 come `write` and `finish`; an
LMTP server then answers once for each recipient that it had accepted.

Fails: ProtocolError for what is no reply, for one that nothing asked for, for text
behind the 220 of STARTTLS, for arguments that would end the line, and for mail that
the server cannot take (SMTPUTF8, bare CR or LF); the last with the reply due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.mail.address import Address
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.smtp.data import DataWriter
from millrace.engine.wire.smtp.replies import ReplyReader

# RFC 2920 §3.1: what else is sent must be the last command of its group
_GROUPED = frozenset(("MAIL", "RCPT", "RSET", "XFORWARD"))
_UNASKED = 421  # a server that shuts down may say so at any time (RFC 5321 §3.8)


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, the verb that it answers, and the recipient where that has one.

    `verb` is "" for the greeting and for a 421 that nothing asked for, and "." for the
    mail itself.
    """

    verb: str
    reply: Reply
    recipient: Address | None = None

    @property
    def yes(self) -> bool:
        """Whether the server agrees, so far."""
        return self.reply.code < 400


@dataclass(frozen=True, slots=True)
class _Command:
    verb: str
    line: bytes
    recipient: Address | None = None


class SmtpClient:
    """One connection; `lmtp` says LHLO and expects a final reply for each recipient."""

    def __init__(self, *, lmtp: bool = False) -> None:
        self.lmtp = lmtp
        self.extensions: Mapping[str, str] = {}
        self._replies = ReplyReader()
        self._queue: deque[_Command] = deque()
        self._awaited: deque[_Command] = deque([_Command("", b"")])
        self._out: list[bytes] = []
        self._accepted: list[Address] = []
        self._body: DataWriter | None = None
        self._utf8 = False

    @property
    def idle(self) -> bool:
        """Nothing is queued and no reply is awaited."""
        return not self._queue and not self._awaited

    # --- commands

    def hello(self, name: str) -> None:
        """EHLO, or LHLO; what the server then offers stands in `extensions`."""
        self._say("LHLO" if self.lmtp else "EHLO", name)

    def helo(self, name: str) -> None:
        """HELO, for a server that does not know EHLO."""
        self._say("HELO", name)

    def starttls(self) -> None:
        """Ask for TLS; after the 220 shake hands and call `tls_started`."""
        self._say("STARTTLS")

    def tls_started(self) -> None:
        """The handshake is done; what the server said in clear is forgotten."""
        if len(self._replies):
            raise ProtocolError("text behind the 220 of STARTTLS")  # RFC 3207 §4.2
        self.extensions = {}

    def mail(self, address: Address | None, *, size: int = 0, utf8: bool = False) -> None:
        """Begin a transaction; `size` in octets, `utf8` when headers or addresses need it.

        8-bit bodies go as they are also to a server without 8BITMIME: all of today's take
        them, and a conversion would break signatures.
        """
        self._utf8 = utf8 or not (address is None or address.ascii)
        if self._utf8 and "SMTPUTF8" not in self.extensions:
            raise ProtocolError(
                "the next hop takes no UTF-8 addresses",
                "550 5.6.7 The next hop takes no UTF-8 addresses",  # RFC 6531 §3.5
            )
        offered = [("SIZE", f"SIZE={size}", size), ("8BITMIME", "BODY=8BITMIME", 1)]
        offered.append(("SMTPUTF8", "SMTPUTF8", self._utf8))
        options = [text for name, text, fit in offered if fit and name in self.extensions]
        self._accepted = []
        self._say("MAIL", " ".join([f"FROM:<{address or ''}>", *options]))

    def rcpt(self, address: Address) -> None:
        """Add a recipient."""
        if not address.ascii and not self._utf8:
            raise ProtocolError(
                "a UTF-8 recipient in an ASCII transaction",
                "553 5.6.7 A UTF-8 recipient needs SMTPUTF8",
            )
        self._say("RCPT", f"TO:<{address}>", address)

    def data(self) -> None:
        """Ask to send the mail."""
        self._say("DATA")

    def write(self, chunk: bytes) -> None:
        """A piece of the mail, CRLF line ends, dots not yet stuffed; only after the 354."""
        self._out.append(self._writer().write(chunk))

    def finish(self) -> None:
        """The mail is whole."""
        self._out.append(self._writer().finish())
        self._body = None
        whom: list[Address | None] = list(self._accepted) if self.lmtp else [None]
        self._awaited.extend(_Command(".", b"", recipient) for recipient in whom)

    def reset(self) -> None:
        """Give the transaction up, keep the connection."""
        self._say("RSET")

    def quit(self) -> None:
        """Take leave."""
        self._say("QUIT")

    def forwarded(self, attributes: Mapping[str, str], verb: str = "XFORWARD") -> None:
        """Name the real client, by XFORWARD or XCLIENT; "" is sent as unavailable."""
        named = dict(attributes)
        if ":" in named.get("ADDR", ""):
            named["ADDR"] = "IPV6:" + named["ADDR"]
        pairs = [f"{name}={_xtext(value)}" for name, value in named.items()]
        self._say(verb, " ".join(pairs))

    # --- wire

    def outgoing(self) -> bytes:
        """The bytes that may be sent now."""
        while self._queue and self._may_send():
            command = self._queue.popleft()
            self._out.append(command.line)
            self._awaited.append(command)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        self._replies.feed(data)

    def answered(self) -> Answered | None:
        """The next command that has its reply, or None: send `outgoing`, read more."""
        reply = self._replies.take()
        if reply is None:
            return None
        if not self._awaited:
            if reply.code == _UNASKED:
                return Answered("", reply)
            raise ProtocolError("a reply that nothing asked for")
        command = self._awaited.popleft()
        answered = Answered(command.verb, reply, command.recipient)
        self._turn(answered)
        return answered

    # --- within

    def _may_send(self) -> bool:
        if self._body is not None:
            return False
        if not self._awaited:
            return True
        return "PIPELINING" in self.extensions and self._awaited[-1].verb in _GROUPED

    def _turn(self, answered: Answered) -> None:
        match answered.verb:
            case "EHLO" | "LHLO":
                self.extensions = _extensions(answered.reply) if answered.yes else {}
            case "RCPT" if answered.yes and answered.recipient:
                self._accepted.append(answered.recipient)
            case "DATA" if answered.reply.code == 354:
                self._body = DataWriter()

    def _writer(self) -> DataWriter:
        if self._body is None:
            raise Bug("mail data before the server's 354")
        return self._body

    def _say(self, verb: str, argument: str = "", recipient: Address | None = None) -> None:
        line = f"{verb} {argument}".rstrip()
        if any(ch < " " or ch == "\x7f" for ch in line):
            raise ProtocolError(
                "a control character in an address or name", "501 5.1.3 Bad address"
            )
        self._queue.append(_Command(verb, line.encode("utf-8", "replace") + b"\r\n", recipient))


def _extensions(reply: Reply) -> dict[str, str]:
    pairs = (line.partition(" ") for line in reply.text.split("\n")[1:])
    return {keyword.upper(): parameters for keyword, _, parameters in pairs}


def _xtext(value: str) -> str:
    if not value:
        return "[UNAVAILABLE]"
    octets = value.encode("utf-8", "replace")
    return "".join(chr(o) if 33 <= o <= 126 and o not in b"+=" else f"+{o:02X}" for o in octets)
