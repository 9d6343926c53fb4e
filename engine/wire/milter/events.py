"""What an MTA tells a filter, as values, and their way from and to the wire.

Texts are str, UTF-8 with surrogateescape, so that no byte is lost; a header field and
the body are bytes as they came.  Each event's `command` is the byte that names it.

Fails: ProtocolError where a payload is not what its command byte promises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from struct import Struct

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.headers import Field
from millrace.engine.wire.milter.codes import Command
from millrace.engine.wire.milter.fields import mta_value, spaced
from millrace.engine.wire.milter.packets import packet
from millrace.engine.wire.milter.terms import Negotiate, Terms, braced

_PORT = Struct(">H")
_WORDS_MAX = 2000  # macros of one packet (twice: name and value), or parameters of one command
_FAMILIES = {b"4": "inet", b"6": "inet6", b"L": "unix"}
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.A)
_tuple = tuple.__new__
# an enum's member costs 0.2 µs to look up, and these are needed for each packet
_MACROS, _HELO, _MAIL, _RCPT = Command.MACROS, Command.HELO, Command.MAIL, Command.RCPT
_FAMILY_BYTES = {name: byte for byte, name in _FAMILIES.items()}


@dataclass(frozen=True, slots=True)
class Macros:
    """The MTA's variables for the command `stage` that follows; names without braces."""

    stage: int
    values: Mapping[str, str] = field(default_factory=dict)

    command = Command.MACROS

    def encode(self) -> bytes:
        """The payload."""
        pairs = "".join(f"{braced(name)}\0{value}\0" for name, value in self.values.items())
        return bytes((self.stage,)) + _bytes(pairs)


@dataclass(frozen=True, slots=True)
class Connect:
    """Who has come: family is inet, inet6, unix or unknown.

    `hostname` is the MTA's name for the peer, "[192.0.2.1]" where it found none.  `address`
    is an IP address as text, the path of a socket, or "" (then the family is unknown).
    """

    hostname: str
    family: str = "unknown"
    address: str = ""
    port: int = 0

    command = Command.CONNECT

    def encode(self) -> bytes:
        """The payload."""
        family = _FAMILY_BYTES.get(self.family)
        if family is None:
            return _bytes(self.hostname) + b"\0U"
        where = _PORT.pack(self.port) + _bytes(self.address) + b"\0"
        return _bytes(self.hostname) + b"\0" + family + where


@dataclass(frozen=True, slots=True)
class Helo:
    """The name that the peer gives itself; a milter cannot tell HELO from EHLO."""

    name: str

    command = Command.HELO

    def encode(self) -> bytes:
        """The payload."""
        return _bytes(self.name) + b"\0"


@dataclass(frozen=True, slots=True)
class MailFrom:
    """A mail begins; `path` is as the peer wrote it, mostly in angle brackets."""

    path: str
    options: tuple[str, ...] = ()

    command = Command.MAIL

    def encode(self) -> bytes:
        """The payload."""
        return _bytes("\0".join((self.path, *self.options))) + b"\0"


@dataclass(frozen=True, slots=True)
class RcptTo:
    """One more recipient; `path` is as the peer wrote it."""

    path: str
    options: tuple[str, ...] = ()

    command = Command.RCPT

    def encode(self) -> bytes:
        """The payload."""
        return _bytes("\0".join((self.path, *self.options))) + b"\0"


class Header(Field):
    """One header field; `value` is all that follows the colon, folded with LF.

    A plain tuple, since a mail has dozens, and a `Field` of the mail's own header section where
    it is not folded: `fields.wire_value` gives the mail's own bytes otherwise.
    """

    __slots__ = ()

    @property
    def command(self) -> Command:
        return Command.HEADER

    def encode(self) -> bytes:
        """The payload."""
        return self.name + b"\0" + mta_value(self.value) + b"\0"


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """A piece of the body, CRLF line ends, cut anywhere."""

    data: bytes

    command = Command.BODY

    def encode(self) -> bytes:
        """The payload."""
        return self.data


@dataclass(frozen=True, slots=True)
class EndOfMessage:
    """The mail is whole; an MTA may put the last piece of the body in here."""

    data: bytes = b""

    command = Command.END_OF_MESSAGE

    def encode(self) -> bytes:
        """The payload."""
        return self.data


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that the MTA did not know; Sendmail sends "" when a peer just hangs up."""

    line: str

    command = Command.UNKNOWN

    def encode(self) -> bytes:
        """The payload."""
        return _bytes(self.line) + b"\0"


@dataclass(frozen=True, slots=True)
class Data:
    """The peer said DATA."""

    command = Command.DATA


@dataclass(frozen=True, slots=True)
class EndOfHeaders:
    """The empty line after the header fields."""

    command = Command.END_OF_HEADERS


@dataclass(frozen=True, slots=True)
class Abort:
    """Forget the mail, keep the connection; outside a mail it means nothing."""

    command = Command.ABORT


@dataclass(frozen=True, slots=True)
class Quit:
    """The conversation is over."""

    command = Command.QUIT


@dataclass(frozen=True, slots=True)
class QuitNewConnection:
    """The peer has gone, the next one's Connect follows on this same stream."""

    command = Command.QUIT_NEW_CONNECTION


Event = (
    Negotiate
    | Macros
    | Connect
    | Helo
    | MailFrom
    | RcptTo
    | Data
    | Header
    | EndOfHeaders
    | BodyChunk
    | EndOfMessage
    | Abort
    | Unknown
    | Quit
    | QuitNewConnection
)
_BARE = (Data, EndOfHeaders, Abort, Quit, QuitNewConnection)


def encode(event: Event, terms: Terms) -> bytes:
    """The packet of an event, as an MTA under these terms would send it."""
    if isinstance(event, Negotiate):
        return event.encode()
    if isinstance(event, _BARE):
        return packet(event.command)
    if isinstance(event, Header) and not terms.leading_space:
        event = Header(event.name, event.value.removeprefix(b" "))
    return packet(event.command, event.encode())


def parse(command: int, payload: bytes) -> Event:
    """The event of a packet; a Header's value is left as the MTA sent it."""
    made = _PARSERS.get(command)
    if made is None:
        raise ProtocolError(f"A milter command {bytes((command,))!r} does not exist")
    return made(payload)


def respaced(field: Header) -> Header:
    """The field with the blank that an MTA without LEADING_SPACE took from it."""
    return Header(field.name, spaced(field.value))


def header(payload: bytes) -> Header:
    """The field of a packet, its value as the MTA sent it."""
    pair = payload.split(b"\0", 3)
    if len(pair) != 3 or pair.pop() or not pair[0]:
        raise _broken(Command.HEADER)
    return _tuple(Header, pair)  # half the time of Header(name, value)


def _macros(payload: bytes) -> Macros:
    if not payload:
        raise _broken(Command.MACROS)
    if len(payload) == 1:
        return Macros(payload[0])
    words = _words(payload[1:], _MACROS)
    if len(words) % 2:
        raise _broken(_MACROS)
    each = iter(words)
    return Macros(payload[0], {name.strip("{}"): next(each) for name in each})


def _connect(payload: bytes) -> Connect:
    hostname, end, rest = payload.partition(b"\0")
    if not end:
        raise _broken(Command.CONNECT)
    name, family = _text(hostname), _FAMILIES.get(rest[:1], "unknown")
    address = _text(rest[3:].partition(b"\0")[0])
    if family in ("inet", "inet6"):
        # Sendmail writes IPv6:2001:db8::1, as RFC 5321 §4.1.3 does in address literals
        address = _ip(address.removeprefix("IPv6:"))
    if family == "unknown" or not address:
        return Connect(name)
    return Connect(name, family, address, _PORT.unpack_from(rest, 1)[0])


def _ip(text: str) -> str:
    if _IPV4.fullmatch(text):  # a tenth of the time that ip_address takes
        return text
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _helo(payload: bytes) -> Helo:
    return Helo(_words(payload, _HELO)[0])


def _mail(payload: bytes) -> MailFrom:
    path, *options = _words(payload, _MAIL)
    return MailFrom(path, tuple(options))


def _rcpt(payload: bytes) -> RcptTo:
    path, *options = _words(payload, _RCPT)
    return RcptTo(path, tuple(options))


def _unknown(payload: bytes) -> Unknown:
    return Unknown(_text(payload.partition(b"\0")[0]))


_DATA, _END_OF_HEADERS, _ABORT = Data(), EndOfHeaders(), Abort()
_QUIT, _QUIT_NEW_CONNECTION = Quit(), QuitNewConnection()
_PARSERS: Mapping[int, Callable[[bytes], Event]] = {
    Command.NEGOTIATE: Negotiate.parse,
    Command.MACROS: _macros,
    Command.CONNECT: _connect,
    Command.HELO: _helo,
    Command.MAIL: _mail,
    Command.RCPT: _rcpt,
    Command.DATA: lambda _: _DATA,
    Command.HEADER: header,
    Command.END_OF_HEADERS: lambda _: _END_OF_HEADERS,
    Command.BODY: BodyChunk,
    Command.END_OF_MESSAGE: EndOfMessage,
    Command.ABORT: lambda _: _ABORT,
    Command.UNKNOWN: _unknown,
    Command.QUIT: lambda _: _QUIT,
    Command.QUIT_NEW_CONNECTION: lambda _: _QUIT_NEW_CONNECTION,
}


def _words(payload: bytes, command: Command) -> list[str]:
    if payload[-1:] != b"\0" or payload.count(b"\0") > _WORDS_MAX:
        raise _broken(command)
    return _text(payload[:-1]).split("\0")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _broken(command: Command) -> ProtocolError:
    name = command.name.lower().replace("_", " ")
    return ProtocolError(f"The milter packet for {name} is broken")
