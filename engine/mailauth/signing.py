"""DKIM signing: a signature field over a mail as it will leave us.

RFC 6376 §5, RFC 8301, RFC 8463.  Always relaxed/relaxed, never `l=`.  Fields that a reader
sees are signed once more than they occur, so that none can be added afterwards (§8.15).

Fails: never; a mail without a From that can be signed is the caller's to leave alone.
"""

from __future__ import annotations

import base64
import textwrap

from millrace.engine.mail.edits import field_of
from millrace.engine.mail.headers import Headers
from millrace.engine.mailauth.bodyhash import BodyHashing, Hashed
from millrace.engine.mailauth.headerhash import chosen, signed_octets
from millrace.engine.ports import Signer

FIELD = "DKIM-Signature"
BODY = BodyHashing("relaxed", "sha256")
OVERSIGNED = (
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"message-id",
    b"reply-to",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"in-reply-to",
    b"references",
)
# signed where they occur; a list may add its own
SIGNED = (b"sender", b"resent-from", b"resent-to", b"list-unsubscribe", b"list-unsubscribe-post")
_WIDTH = 72


def signed_names(headers: Headers) -> list[bytes]:
    """The names for `h=`, each as often as it is signed."""
    names: list[bytes] = []
    for name in OVERSIGNED:
        names += [name] * (len(headers.all(name)) + 1)
    for name in SIGNED:
        names += [name] * len(headers.all(name))
    return names


def signature(headers: Headers, body: Hashed, signer: Signer, now: float) -> str:
    """The value of a DKIM-Signature field, folded; put it above all other fields."""
    names = signed_names(headers)
    listed = _folded(b":".join(names).decode("ascii"), ":")
    digest = base64.b64encode(body.digest).decode("ascii")
    tags = (
        f"v=1; a={signer.algorithm}; c=relaxed/relaxed; d={signer.domain};\n"
        f"\ts={signer.selector}; t={int(now)};\n\th={listed};\n\tbh={digest};\n\tb="
    )
    octets = signed_octets(chosen(headers, names), field_of(FIELD, tags), "relaxed")
    made = base64.b64encode(signer.sign(octets)).decode("ascii")
    return tags + "\n\t ".join(textwrap.wrap(made, _WIDTH))


def _folded(text: str, separator: str) -> str:
    """Break after separators; white space around them means nothing there."""
    lines, line = [], ""
    for part in text.split(separator):
        if len(line) + len(part) > _WIDTH:
            lines.append(line)
            line = ""
        line += part + separator
    return "\n\t ".join([*lines, line]).removesuffix(separator)
