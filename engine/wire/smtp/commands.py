"""SMTP command lines, read strictly.

RFC 5321 §4.1.1 and §4.1.2 (syntax), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531
(SMTPUTF8), RFC 3461 §4 (xtext, which XFORWARD and XCLIENT use).

One leniency: blanks after the colon of MAIL and RCPT, which many clients send.

Fails: ProtocolError with the reply that the peer deserves.
"""

from __future__ import annotations

import re

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.address import Address
from millrace.engine.wire.smtp.events import MailFrom, RcptTo

XFORWARD = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
XCLIENT = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN")
OPTIONS_MAX = 20
HELLO_MAX = 255
_UNAVAILABLE = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
_OPTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=]+))?")
_XTEXT = re.compile(rb"\+([0-9A-Fa-f]{2})")


def words(line: bytes) -> tuple[str, str]:
    """A line's verb in capitals, and its argument without outer blanks."""
    if 0 in line:
        raise ProtocolError("NUL in a command", "500 5.5.2 A command holds no NUL")
    try:
        verb, _, argument = line.decode("utf-8").partition(" ")
    except UnicodeDecodeError as error:
        raise ProtocolError("a command is not UTF-8", "500 5.5.2 Not UTF-8") from error
    return verb.upper(), argument.strip(" \t")


def hello(argument: str) -> str:
    """The name after EHLO, HELO or LHLO; some peers' names are no host names, and pass."""
    fit = argument.isascii() and argument.isprintable() and " " not in argument
    if not argument or not fit or len(argument) > HELLO_MAX:
        raise ProtocolError("EHLO without a fit name", "501 5.5.4 One host name, please")
    return argument


def mail(argument: str, extended: bool) -> MailFrom:
    """The reverse-path of MAIL and its parameters."""
    address, options = _path(argument, "FROM:", "5.1.7")
    named = _options(options, {"SIZE", "BODY", "SMTPUTF8"} if extended else set())
    size = named.get("SIZE", "0")
    if not (size.isascii() and size.isdigit() and len(size) <= 20):
        raise ProtocolError("SIZE is no number", "501 5.5.4 SIZE is a number of octets")
    if named.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):
        raise ProtocolError("an unknown BODY", "501 5.5.4 BODY is 7BIT or 8BITMIME")
    if named.get("SMTPUTF8"):
        raise ProtocolError("SMTPUTF8 with a value", "501 5.5.4 SMTPUTF8 takes no value")
    utf8 = "SMTPUTF8" in named
    _travels(address, utf8)
    return MailFrom(address, tuple(options), int(size), utf8)


def rcpt(argument: str, utf8: bool) -> RcptTo:
    """The forward-path of RCPT; no parameters are offered."""
    address, options = _path(argument, "TO:", "5.1.3")
    if address is None:
        raise ProtocolError("a null recipient", "501 5.1.3 A recipient, please")
    _options(options, set())
    _travels(address, utf8)
    return RcptTo(address)


def attributes(argument: str, known: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """NAME=value pairs of XFORWARD and XCLIENT, decoded; "" is unavailable."""
    pairs = [_attribute(word, known) for word in argument.split()]
    if not pairs or len(dict(pairs)) != len(pairs):
        raise ProtocolError("no attribute, or one twice", "501 5.5.4 Each attribute once")
    return tuple(pairs)


def _attribute(word: str, known: tuple[str, ...]) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    name = name.upper()
    octets = _XTEXT.sub(lambda found: bytes((int(found[1], 16),)), value.encode())
    text = octets.decode("utf-8", "replace")
    if name not in known or not equals or not text.isprintable():
        raise ProtocolError("a bad attribute", "501 5.5.4 Bad attribute")
    if text.upper() in _UNAVAILABLE:
        return name, ""
    if name == "ADDR" and text[:5].upper() == "IPV6:":
        text = text[5:]
    return name, text


def _path(argument: str, keyword: str, status: str) -> tuple[Address | None, list[str]]:
    if argument[: len(keyword)].upper() != keyword:
        raise ProtocolError(f"no {keyword}", f"501 5.5.4 Syntax: {keyword}<address>")
    text = argument[len(keyword) :].lstrip(" ")
    try:
        end = _closing(text)
        address = Address.parse(text[:end])
        if address and not address.domain and address.local.lower() != "postmaster":
            raise ValueError("an address needs a domain")
    except ValueError as error:
        raise ProtocolError(str(error), f"501 {status} {_sentence(error)}") from error
    rest = text[end:]
    if rest and not rest.startswith(" "):
        raise ProtocolError("text right after the path", f"501 {status} A blank follows '>'")
    return address, rest.split()


def _sentence(error: ValueError) -> str:
    words = str(error)
    return words[:1].upper() + words[1:]


def _closing(text: str) -> int:
    """Where the path ends; a ">" within quotes is part of it (RFC 5321 §4.1.2)."""
    if not text.startswith("<"):
        raise ValueError("a path stands in '<' and '>'")
    quoted = False
    at = 1
    while at < len(text):
        if quoted and text[at] == "\\":
            at += 1
        elif text[at] == '"':
            quoted = not quoted
        elif text[at] == ">" and not quoted:
            return at + 1
        at += 1
    raise ValueError("a path stands in '<' and '>'")


def _options(options: list[str], known: set[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for option in options[: OPTIONS_MAX + 1]:
        found = _OPTION.fullmatch(option)
        if not found:
            raise ProtocolError("a parameter's syntax", "501 5.5.4 Bad parameter")
        name = found[1].upper()
        if name not in known:
            raise ProtocolError("an unknown parameter", "555 5.5.4 Unknown parameter")
        if name in named:
            raise ProtocolError("a parameter twice", "501 5.5.4 Each parameter once")
        named[name] = found[2] or ""
    return named


def _travels(address: Address | None, utf8: bool) -> None:
    if address and not address.ascii and not utf8:
        raise ProtocolError(
            "a UTF-8 address without SMTPUTF8",
            "553 5.6.7 An address outside ASCII needs SMTPUTF8",  # RFC 6531 §3.5
        )
