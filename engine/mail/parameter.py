"""Parameters of a structured field: `text/plain; charset="utf-8"; name*0*=…`.

RFC 2045 §5.1, RFC 2231 §3 and §4 (continuations, charset and percent encoding).
RFC 2047 words in quoted values are not allowed by the letter (RFC 2047 §5) and are in
half of all file names; whoever reads a file name decodes them.

Gives:  the value before the first ";" (lower case), and the parameters by lower name.
Fails:  never.  Of two parameters with one name the first counts; fields are read up to
        16 KiB.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from millrace.engine.mail import charset

FIELD_MAX = 1 << 14  # bytes of one field that are read
_PARAMETER = re.compile(
    rb';[ \t\r\n]*([^\s=;"]{1,80})[ \t\r\n]*=[ \t\r\n]*(?:"((?:[^"\\]|\\.)*)"?|([^;\s]*))', re.S
)
_QUOTED = re.compile(rb"\\(.)", re.S)
_SECTION = re.compile(r"([^*]+)\*(?:(\d{1,3})(\*?))?")


def parameters(value: bytes) -> tuple[str, dict[str, str]]:
    """Split a field such as Content-Type; values are decoded text."""
    value = value[:FIELD_MAX]
    head = value.partition(b";")[0].strip().lower().decode("ascii", "replace")
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for found in _PARAMETER.finditer(value):
        name = found[1].lower().decode("ascii", "replace")
        raw = found[3] if found[2] is None else _QUOTED.sub(rb"\1", found[2])
        if "*" in name and (section := _SECTION.fullmatch(name)):
            place = sections.setdefault(section[1], {})
            place.setdefault(int(section[2] or 0), (raw, not section[2] or bool(section[3])))
        else:
            plain.setdefault(name, charset.decode(raw))
    for name, pieces in sections.items():
        plain[name] = _joined(pieces)
    return head, plain


def _joined(pieces: dict[int, tuple[bytes, bool]]) -> str:
    """Sections in order up to the first gap; the first one may name the charset."""
    data, name = b"", ""
    for at in range(len(pieces)):
        if at not in pieces:
            break
        raw, encoded = pieces[at]
        if at == 0 and encoded and raw.count(b"'") >= 2:
            label, _, raw = raw.split(b"'", 2)
            name = label.decode("ascii", "replace")
        data += unquote_to_bytes(raw) if encoded else raw
    return charset.decode(data, name)
