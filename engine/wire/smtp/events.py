"""What an SMTP client said, as the server role reports it.

Questions wait for `SmtpServer.answer`; notices are answered already, or need none.
RFC 5321 §4.1.1; XFORWARD and XCLIENT are Postfix's (XFORWARD_README, XCLIENT_README).
"""

from __future__ import annotations

from dataclasses import dataclass

from millrace.engine.mail.address import Address
from millrace.engine.mail.verdict import Reply


@dataclass(frozen=True, slots=True)
class Connected:
    """The greeting is due: 220 takes the visit, 554 or 421 does not."""


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO (`extended`) or HELO; a transaction that was open is over."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class MailFrom:
    """A transaction begins; `size` is what the peer announced, 0 when it did not."""

    address: Address | None
    options: tuple[str, ...] = ()
    size: int = 0
    utf8: bool = False


@dataclass(frozen=True, slots=True)
class RcptTo:
    """One more recipient."""

    address: Address
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataBegin:
    """The peer wants to send the mail: 354 lets it."""


@dataclass(frozen=True, slots=True)
class DataChunk:
    """A piece of the mail, dots taken off.  A notice."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DataEnd:
    """The mail is whole and sound: this answer takes it or not."""


@dataclass(frozen=True, slots=True)
class DataFailed:
    """The mail cannot be taken; it was answered, the transaction is over.  A notice."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET: the transaction is over.  A notice."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The peer takes its leave.  A notice."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """The peer wants TLS: stop reading, answer, send, shake hands, `tls_started`."""


@dataclass(frozen=True, slots=True)
class XForward:
    """A trusted proxy names the real client of the next mail; "" is unavailable."""

    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class XClient:
    """A trusted peer asks to be taken for another one; the visit starts anew."""

    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The core said no by itself: syntax, order, limits.  A notice."""

    reply: Reply


Question = (
    Connected | Hello | MailFrom | RcptTo | DataBegin | DataEnd | StartTls | XForward | XClient
)
Notice = DataChunk | DataFailed | Reset | Quit | Refused
Event = Question | Notice
