"""Authentication-Results: write ours, recognise whose a field claims to be.

RFC 8601.  authres writes the field; it neither quotes nor checks values, so every value
is made safe here first: a CR LF in an address would come out as a header of its own.

Fails: never.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import authres

VALUE_MAX = 256
_REASON = str.maketrans({'"': "'", "\\": "/", ";": ",", "@": " at "})
_TOKEN = r"[A-Za-z0-9!#$%&'*+^_`{|}~.-]+"
_DOMAIN = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_BARE = re.compile(rf"{_TOKEN}(?:@{_DOMAIN})?|@{_DOMAIN}")
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)")


@dataclass(frozen=True, slots=True)
class Method:
    """One result: `spf=pass`, its properties as (ptype, property, value), and a reason."""

    name: str
    result: str
    properties: tuple[tuple[str, str, str], ...] = ()
    reason: str = ""


def written(authserv_id: str, methods: tuple[Method, ...]) -> str:
    """The value of the field, folded; without methods it says "none" (RFC 8601 §2.2)."""
    results = [_result(method) for method in methods] or [authres.NoneAuthenticationResult()]
    name = _cleaned(authserv_id)
    name = name if _BARE.fullmatch(name) else f'"{name}"'
    header = authres.AuthenticationResultsHeader(name, results=results)
    parts = header.header_value().split("; ")
    return ";\n\t".join(part.strip() for part in parts)


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
