"""Received-SPF: one SPF result as a field of its own, for those who read that.

RFC 7208 §9.1.  Every value is the sender's choice: what is no dot-atom is quoted, and what
no quoting saves (controls, letters that the mail's transport does not carry) is a "?".

Fails: never.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from millrace.engine.mail.envelope import Sender
from millrace.engine.mail.session import Helo, Peer

FIELD = "Received-SPF"
VALUE_MAX = 256
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")


@dataclass(frozen=True, slots=True)
class Hop:
    """Who receives from whom: the names that the field tells."""

    receiver: str
    peer: Peer
    helo: Helo | None
    sender: Sender


def told(hop: Hop, result: str, scope: str, term: str, reason: str) -> str:
    """The value of the field for one check; `scope` is "mfrom" or "helo"."""
    pairs = {
        "receiver": hop.receiver,
        "client-ip": hop.peer.ip,
        "identity": "mailfrom" if scope == "mfrom" else "helo",
        "envelope-from": str(hop.sender),
        "helo": hop.helo.name if hop.helo else "",
        "mechanism": term,
        "problem": reason if result in ("temperror", "permerror") else "",
    }
    return written(result, f"{hop.receiver}: {reason}", pairs)


def written(result: str, comment: str, pairs: Mapping[str, str]) -> str:
    """The value of the field, folded: result, comment for people, and the keys of §9.1."""
    words = re.sub(r"[()\\]", "", _shown(comment)).strip()
    head = f"{result} ({words})" if words else result
    listed = [f"{key}={_value(value)}" for key, value in pairs.items() if value]
    return "\n\t".join([head, *(pair + ";" for pair in listed)]).removesuffix(";")


def _value(text: str) -> str:
    text = _shown(text)
    if _DOT_ATOM.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shown(text: str) -> str:
    return "".join(ch if " " <= ch <= "~" else "?" for ch in text[:VALUE_MAX])
