"""What a DKIM or ARC signature signs of the header, as the octets that are hashed.

RFC 6376 §3.4.1 (simple), §3.4.2 (relaxed), §3.5 (b=), §3.7 (order), §5.4.2 (duplicates).

Fails: never.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from millrace.engine.mail.headers import Field, Headers

_TABS = bytes.maketrans(b"\t", b" ")
_B_TAG = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")


def relaxed(entry: Field) -> bytes:
    """One field in relaxed form, without its line break."""
    value = entry.value.replace(b"\r", b"").replace(b"\n", b"").translate(_TABS)
    while b"  " in value:
        value = value.replace(b"  ", b" ")
    return b"%b:%b" % (entry.name.lower().rstrip(), value.strip(b" "))


def simple(entry: Field) -> bytes:
    """One field as it came, without its line break."""
    return b"%b:%b" % entry


def chosen(headers: Headers, names: Iterable[bytes]) -> list[Field]:
    """The fields that `h=` names; each further mention takes the next one up.

    A name that no field is left for stands for nothing (RFC 6376 §5.4.2).
    """
    left: dict[bytes, int] = {}
    found: list[Field] = []
    for name in names:
        entries = headers.all(name)
        at = left.get(name, len(entries))
        if at > 0:
            left[name] = at - 1
            found.append(entries[at - 1])
    return found


def without_b(entry: Field) -> Field:
    """The signature's own field with an empty `b=`."""
    return Field(entry.name, _B_TAG.sub(rb"\1", entry.value, count=1))


def signed_octets(fields: Iterable[Field], signature: Field, canonicalization: str) -> bytes:
    """All that is hashed; the signature's own field comes last, without a line break."""
    form = relaxed if canonicalization == "relaxed" else simple
    parts = [form(entry) + b"\r\n" for entry in fields]
    return b"".join([*parts, form(without_b(signature))])
