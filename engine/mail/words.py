"""Encoded words: `=?utf-8?Q?caf=C3=A9?=` in Subject, names and file names.

RFC 2047.  Read more kindly than it is written: blanks inside a word, a word inside
quotes or in mid-token, and a character split over two words are all seen in the wild.

Gives:  unfolded text.
Fails:  never; what cannot be decoded stays as it came.  Read up to 16 KiB.
"""

from __future__ import annotations

import binascii
import re

from millrace.engine.mail import charset
from millrace.engine.mail.folding import unfold

VALUE_MAX = 1 << 14  # bytes of one field that are read
_WORD = re.compile(rb"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")


def decode_words(value: bytes) -> str:
    """The text of a header field."""
    value = unfold(value[:VALUE_MAX])
    if b"=?" not in value:
        return charset.decode(value)
    out: list[str] = []
    pending: tuple[bytes, bytes] = (b"", b"")  # charset and bytes of words not yet decoded
    at = 0
    for found in _WORD.finditer(value):
        between = value[at : found.start()]
        at = found.end()
        name = found[1].partition(b"*")[0].lower()  # RFC 2231 §5: a language may follow
        data = _word(found[2], found[3])
        # RFC 2047 §6.2: white space between two words is not shown
        if pending[0] == name and not between.strip():
            pending = (name, pending[1] + data)
            continue
        out.append(_text(pending))
        if between.strip() or not pending[0]:
            out.append(charset.decode(between))
        pending = (name, data)
    out += (_text(pending), charset.decode(value[at:]))
    return "".join(out)


def _text(pending: tuple[bytes, bytes]) -> str:
    return charset.decode(pending[1], pending[0].decode("ascii", "replace"))


def _word(kind: bytes, data: bytes) -> bytes:
    if kind in b"qQ":
        return binascii.a2b_qp(data, header=True)
    try:
        return binascii.a2b_base64(data + b"==")
    except binascii.Error:
        return data
