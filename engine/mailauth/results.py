"""Authentication-Results: write ours, read others', tell whose a field is.

RFC 8601, RFC 8616 §3.  authres writes the field; it neither quotes nor checks values, so
every value is made safe here first: a CR LF in an address would come out as a header of its
own.  It reads too, at a cost that grows with the square of the field, so sizes are bounded.

Fails: never; a field that cannot be read is None, which is no evidence of anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import authres

from millrace.engine.mailauth.domains import ascii_domain

VALUE_MAX = 256
FIELD_MAX = 8192  # octets that are read; 20,000 results would take twelve seconds
PARTS_MAX = 100  # results, and comments, of one field
_REASON = str.maketrans({'"': "'", "\\": "/", ";": ",", "@": " at "})
_TOKEN = r"[A-Za-z0-9!#$%&'*+^_`{|}~.-]+"
_DOMAIN = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_BARE = re.compile(rf"{_TOKEN}(?:@{_DOMAIN})?|@{_DOMAIN}")
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')
_BLANKS_AT = re.compile(r" *([=/.]) *")
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)")


@dataclass(frozen=True, slots=True)
class Method:
    """One result: `spf=pass`, its properties as (ptype, property, value), and a reason."""

    name: str
    result: str
    properties: tuple[tuple[str, str, str], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """What a field says: whose it is, lower-cased, and its methods in order."""

    authserv_id: str
    methods: tuple[Method, ...] = ()


def read(value: bytes) -> Results | None:
    """Read a field's value; None for what is no such field of version 1 (RFC 8601 §2.2)."""
    if len(value) > FIELD_MAX or max(value.count(b";"), value.count(b"(")) > PARTS_MAX:
        return None
    text = _tightened(re.sub(r"[ \t\r\n]+", " ", value.decode("utf-8", "replace")).strip())
    if text is None:
        return None
    try:
        found = authres.AuthenticationResultsHeader.parse_value(text)
        methods = tuple(map(_method, found.results))
    except (authres.AuthResError, RecursionError, ValueError, TypeError, AttributeError):
        return None
    name = str(found.authserv_id or "").lower().rstrip(".")
    return Results(name, tuple(filter(None, methods))) if name else None


def _tightened(text: str) -> str | None:
    """Without comments, and without blanks at "=" and "/"; None for what has no such form.

    authres trips over comments in some places, and lets words go that are no property.
    """
    bare = _uncommented(text)
    if bare is None:
        return None
    pieces = _QUOTED.split(bare)
    pieces[::2] = [_BLANKS_AT.sub(r"\1", piece) for piece in pieces[::2]]
    shape = "q".join(pieces[::2])
    if any("=" not in word for info in shape.split(";")[1:] for word in info.split()[1:]):
        return None
    return "".join(pieces)


def _uncommented(text: str) -> str | None:
    kept, depth, quoted, at = [], 0, False, 0
    while at < len(text):
        ch = text[at : at + 2] if text[at] == "\\" else text[at]
        at += len(ch)
        if ch == '"' and not depth:
            quoted = not quoted
        if ch == "(" and not quoted:
            depth += 1
        elif ch == ")" and depth:
            depth -= 1
            ch = " "
        if not depth:
            kept.append(ch)
    return None if depth or quoted else "".join(kept)


def _method(found: authres.AuthenticationResult) -> Method | None:
    if isinstance(found, authres.NoneAuthenticationResult):
        return None
    properties = ((p.type.lower(), p.name.lower(), p.value) for p in found.properties)
    return Method(found.method.lower(), found.result.lower(), tuple(properties), found.reason or "")


def written(authserv_id: str, methods: tuple[Method, ...], utf8: bool = True) -> str:
    """The value of the field, folded; without methods it says "none" (RFC 8601 §2.2).

    `utf8` says that the mail travels by SMTPUTF8; elsewhere domains become A-labels, and
    other letters "?" (RFC 8616 §3).
    """
    methods = methods if utf8 else tuple(map(_in_ascii, methods))
    results = [_result(method) for method in methods] or [authres.NoneAuthenticationResult()]
    name = _cleaned(authserv_id)
    name = name if _BARE.fullmatch(name) else f'"{name}"'
    header = authres.AuthenticationResultsHeader(name, results=results)
    parts = header.header_value().split("; ")
    return ";\n\t".join(part.strip() for part in parts)


def _in_ascii(method: Method) -> Method:
    if method.reason.isascii() and all(value.isascii() for _, _, value in method.properties):
        return method
    properties = tuple((kind, name, _ascii_value(v)) for kind, name, v in method.properties)
    return replace(method, properties=properties, reason=_ascii_text(method.reason))


def _ascii_value(value: str) -> str:
    if value.isascii():
        return value
    local, at, domain = value.rpartition("@")
    return _ascii_text(local) + at + (ascii_domain(domain) or _ascii_text(domain))


def _ascii_text(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


def _result(method: Method) -> authres.AuthenticationResult:
    properties = [
        authres.AuthenticationResultProperty(ptype, name, _value(value))
        for ptype, name, value in method.properties
        if _cleaned(value)
    ]
    # authres quotes a reason itself, though not for an "@"; what no quoting saves is taken out
    reason = _printable(method.reason).translate(_REASON)
    return authres.AuthenticationResult(
        method.name, result=method.result, reason=reason or None, properties=properties
    )


def _value(value: str) -> str:
    clean = _cleaned(value)
    # authres quotes what it must, though nothing that holds an "@"
    return f'"{clean}"' if "@" in clean and not _BARE.fullmatch(clean) else clean


def _cleaned(value: str) -> str:
    return _printable(value).replace('"', "").replace("\\", "").replace(";", "")


def _printable(value: str) -> str:
    if value.isprintable():  # nearly all: dozens of values in a field
        return value[:VALUE_MAX]
    return "".join(ch if ch.isprintable() else "?" for ch in value)[:VALUE_MAX]


def claimed_id(value: bytes) -> str:
    """The authserv-id that a field claims, lower-cased, "" where none can be read.

    Decided on the raw text, since a forger need not write what a parser accepts.
    """
    text = re.sub(rb"[\r\n]+", b"", value[:8192]).strip()
    for _ in range(8):  # comments may be nested; an honest field has few
        bare = _COMMENT.sub(b" ", text).strip()
        if bare == text:
            break
        text = bare
    first = re.split(rb"[;\s]", text, maxsplit=1)[0] if not text.startswith(b'"') else _quoted(text)
    return first.decode("utf-8", "replace").lower().rstrip(".")


def _quoted(text: bytes) -> bytes:
    return text[1:].split(b'"', 1)[0].strip()
